"""Mappings: what others send as files, into a transaction Bundle's entries and back, without the server.

A table is data (`mappings/*.json`): its columns, the checks between them, and the resources that a row becomes.
"""
