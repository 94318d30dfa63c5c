"""Texts that a spreadsheet would compute have an apostrophe in CSV, and nowhere else."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tokenarium.backend.runs.export import table_file
from tokenarium.ui.components.csv_file import csv_columns

TEXTS = ['=HYPERLINK("http://x","y")', "+1", "-", "@a", "\tb", "a=b", "", " =1", "'", None]
IN_CSV = ['\'=HYPERLINK("http://x","y")', "'+1", "'-", "'@a", "'\tb", "a=b", "", " =1", "'", None]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_text_is_no_formula_in_csv_and_exact_in_parquet(kind: pa.DataType) -> None:
    numbers = [-1.5] * len(TEXTS)
    table = pa.table({"text": pa.array(TEXTS, kind), "-n": numbers, "list": [["=1"]] * len(TEXTS)})
    read = pyarrow.csv.read_csv(
        io.BytesIO(table_file(table, "csv")),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        ),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    assert read.column("text").to_pylist() == IN_CSV
    assert read.column("-n").to_pylist() == numbers
    assert set(read.column("list").to_pylist()) == {'["=1"]'}
    exact = pyarrow.parquet.read_table(io.BytesIO(table_file(table, "parquet")))
    assert exact.column("text").to_pylist() == TEXTS


def test_tables_of_a_section_follow_the_same_rule() -> None:
    found = csv_columns({"text": ["=1+1", "-", "a"], "n": np.array([-1, 2, 3])})
    assert found.splitlines() == ["text,n", "'=1+1,-1", "'-,2", "a,3"]
