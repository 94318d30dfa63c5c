"""The compose file names what is there, and settings that the program knows."""

import re
import tomllib

import yaml
from packaging.specifiers import SpecifierSet

from tokenarium.backend.settings import PROJECT, Settings

COMPOSE = PROJECT / "docs/deploy/compose.yaml"
SAID = yaml.safe_load(COMPOSE.read_text())
APPS = [service for service in SAID["services"].values() if "build" in service]


def test_replicas_share_one_database_and_nothing_else() -> None:
    assert len(APPS) == 2
    addresses = {service["environment"]["TOKENARIUM_DATABASE"] for service in APPS}
    [address] = addresses
    database = SAID["services"]["db"]["environment"]
    user, host, name = re.fullmatch(
        r"postgresql\+psycopg://(\w+):\$\{POSTGRES_PASSWORD:[^}]+\}@(\w+)/(\w+)", address
    ).groups()
    assert (user, name) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert host in SAID["services"]
    volumes = [volume.partition(":")[0] for service in APPS for volume in service["volumes"]]
    assert len(set(volumes)) == 2
    assert {*volumes, "runs"} == SAID["volumes"].keys()
    assert len({service["ports"][0].partition(":")[0] for service in APPS}) == 2


def test_replicas_are_built_and_started_with_what_is_there() -> None:
    pinned = (PROJECT / "requirements-test.txt").read_text().splitlines()
    for service in APPS:
        assert (COMPOSE.parent / service["build"]["context"] / "Dockerfile").is_file()
        assert service["build"]["args"]["EXTRA"] in pinned
        names = [name.removeprefix("TOKENARIUM_").lower() for name in service["environment"]]
        assert set(names) <= Settings.model_fields.keys()
        Settings(**dict(zip(names, service["environment"].values(), strict=True)))
    assert "ARG EXTRA" in (PROJECT / "Dockerfile").read_text()


def test_with_ray_the_same_replicas_compute_by_workers_that_know_a_token() -> None:
    ray = yaml.safe_load((PROJECT / "docs/deploy/compose.ray.yaml").read_text())
    replicas = [service for service in ray["services"].values() if "build" in service]
    assert {name for name in ray["services"] if "build" in ray["services"][name]} == {
        name for name in SAID["services"] if "build" in SAID["services"][name]
    }
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for service in replicas:
        environment = service["environment"]
        engine = Settings(engine=environment["TOKENARIUM_ENGINE"]).engine
        [host, port] = engine.removeprefix("ray://").split(":")
        assert (host in ray["services"], port) == (True, "10001")
        for wanted in service["build"]["args"]["EXTRA"].split():
            name, version = wanted.split("==")
            [allowed] = [r for r in extras["optional-dependencies"]["scale"] if r.startswith(name)]
            assert SpecifierSet(allowed.removeprefix(name)).contains(version)
        assert service["image"] == ray["services"][host]["image"]
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            assert environment[name] == ray["services"][host]["environment"][name]


def test_the_container_asks_whether_it_is_ready() -> None:
    lines = (PROJECT / "Dockerfile").read_text()
    assert re.search(r"HEALTHCHECK(.|\n)*/ready", lines)
