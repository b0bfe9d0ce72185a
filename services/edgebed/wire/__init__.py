"""What crosses between services: messages generated from proto/, a lean HTTP client and server, and how they say no.

What belongs here: bytes, HTTP, messages as values, limits and timeouts of connections. What does not: what a message
means to a node or a controller, when it is sent, and how fast a payload is paced.
"""
