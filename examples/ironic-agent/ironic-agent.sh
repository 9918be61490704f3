#!/bin/sh
[ "$1" = start ] && exec /usr/local/bin/python3 -m ironic_python_agent &
