"""Tables in Redshift: what their columns take, the rows that are staged for them, and the SQL that loads these."""
