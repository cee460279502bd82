"""Invoices and the rates behind them."""
