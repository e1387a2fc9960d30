package project

// ServiceExample is a ruedo.yaml with every key, for the reference.
const ServiceExample = `name: greet                  # only what differs from the defaults is needed
description: Greets by name.
tags: [example]
kind: function
build: go                    # or a command: [cargo, build, --release]
decorators: [greet-input]
env: {GREETING: Hello}
args: []
example: {"name": "Ada"}
isolation: pristine
placement: zone=eu-1,rack in (7,8),!gpu
unknown_fields: refuse
schema: types
`

// RequestExample is a ruedo.yaml of a service of kind http, for the reference.
const RequestExample = `name: shop
example:
- path: /items?limit=5
- {method: POST, path: /items, headers: {x-request-id: "7"}, body: {"name": "tea"}}
routes:
- path: /shop/
- {host: shop.example.com, path: /, methods: [GET, POST]}
`

// DecoratorExample is a decorators.yaml with every key, for the reference.
const DecoratorExample = `kind: Decorator
name: greet-input
description: What greet accepts, and what it may use.
tags: [example]
input_schema:
  type: object
  required: [name]
  properties: {name: {type: string, maxLength: 64}}
limits: {memory: 64MiB, timeout: 2s}
policy: {idempotent: true, pass_authorization: true}
grants:
  egress: ["GET,POST https://api.example.com", "tcp://10.20.0.0/16:22"]
---
kind: Decorator
name: patient
limits:
  memory: 1GiB
  timeout: 1m
  idle: 30s
  grace: 2s
  cpu: 30s
  input: 64MiB
  output: 64MiB
  logs: 1MiB
  concurrency: 2
  stack: 64MiB
`
