package main

import (
	"strings"
	"testing"
	"time"
)

const manifest = `name: shop
stage: live
replicas: 3
timeout: 1m30s
labels: {team: blue}
ports:
  - {name: http, number: 8080}
`

func TestRead(t *testing.T) {
	m, err := read(t.Context(), Input{YAML: manifest, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if m.Timeout != Duration(90*time.Second) || len(m.Ports) != 1 || m.Labels["team"] != "blue" {
		t.Errorf("got %+v", m)
	}
}

func TestErrorsShowTheLine(t *testing.T) {
	_, err := read(t.Context(), Input{YAML: manifest + "colour: red\n", Strict: true})
	if err == nil || !strings.Contains(err.Error(), "8 | colour: red") {
		t.Errorf("error is %v", err)
	}
}
