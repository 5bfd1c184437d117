"""Migrations: each brings a store from one schema to the next. A released one is never changed."""
