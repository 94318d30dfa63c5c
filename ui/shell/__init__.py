"""What every page is made of, written once: routes, scripts, addresses, runs, controls, panels."""
