#!/bin/sh
# Runs a program with the libraries of the image, wherever its loader is.
exec /lib/ld-linux-x86-64.so.2 --library-path /usr/local/lib:/usr/lib:/lib "$@"
