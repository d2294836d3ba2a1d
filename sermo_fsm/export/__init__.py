"""Files for other tools: statecharts of the machine, event logs of histories. No database."""
