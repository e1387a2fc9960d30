package loopback_test

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/loopback"
)

func TestIs(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.9.1": true, "[::1]:80": true, "::1": true, "[::1]": true, "localhost:80": true, "localhost": true,
		"0.0.0.0:80": false, ":80": false, "10.0.0.1": false, "example.com:80": false, "[::]:80": false, "": false, "localhost.example.com": false,
	} {
		if got := loopback.Is(addr); got != want {
			t.Errorf("Is(%q) = %t", addr, got)
		}
	}
}
