// Package sshtest is a device that tests log in to over SSH.
package sshtest

import (
	"testing"

	"github.com/ruedo-dev/ruedo/internal/sshdevice"
)

// Start starts a device, which ends with its test.
func Start(t testing.TB) *sshdevice.Device {
	t.Helper()
	d, err := sshdevice.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}
