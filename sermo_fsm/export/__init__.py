"""How do other tools get it? Statecharts of the machine, event logs of histories. No database."""
