package main

import (
	"context"

	"golang.org/x/crypto/ssh"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

// run runs a command on a device and returns what it prints. It takes at most as
// long as the request.
func run(ctx context.Context, address, command string, cfg *ssh.ClientConfig) ([]byte, error) {
	conn, err := web.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, cfg)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.CombinedOutput(command)
}

// algorithms returns the algorithms by which a device proves that it has a key.
// A device with several keys would otherwise choose which one it shows.
func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}
