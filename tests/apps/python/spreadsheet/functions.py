"""What formulas can call."""

from statistics import mean, median

FUNCTIONS = {
    "SUM": sum,
    "AVERAGE": lambda values: mean(values) if values else 0,
    "MEDIAN": lambda values: median(values) if values else 0,
    "MIN": lambda values: min(values, default=0),
    "MAX": lambda values: max(values, default=0),
    "COUNT": len,
    "ROUND": lambda values: round(values[0], int(values[1]) if len(values) > 1 else 0),
}
