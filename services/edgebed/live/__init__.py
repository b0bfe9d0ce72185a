"""How a service joins the others: it is in the registry, and what it may be told while it runs is in use at once.

`documents` says what may be changed and is the only definition; `in_use` holds what a service uses of it, checked and cached;
`member` registers and listens, with the controller's own coordination or with Nacos. Nothing here is waited for: a
coordination that is away is no reason not to serve. What a setting does belongs to the service that has it.
"""
