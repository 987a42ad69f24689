"""Reading LDAP directories: customers and staff that are kept in one."""
