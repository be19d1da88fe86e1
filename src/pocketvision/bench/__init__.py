"""Time, memory and the machine they were measured on."""
