"""Invoices: what a customer owes."""

from dataclasses import dataclass

from billing.rates import discount_percent, tax_percent


@dataclass(frozen=True)
class Line:
    """One position of an invoice: some pieces at a price in cents."""

    quantity: int
    unit_price: int


def total_due(lines: list[Line], status: str, country: str) -> int:
    """What a customer owes for these lines, in cents.

    A line costs its quantity times its unit price, and 5% less from ten pieces on. The discount of the
    customer's status is taken off the sum of the lines; the country's tax is added to what is left.
    Each amount is rounded to whole cents, half a cent upwards.
    """
    ...


def is_overdue(days_open: int, days_allowed: int = 14) -> bool:
    """Whether an invoice has been open for longer than allowed."""
    return days_open > days_allowed
