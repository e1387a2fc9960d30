// Package sshdevice is a device to log in to over SSH, for the demo and for tests.
//
//	d, err := sshdevice.Start()
//	defer d.Close()
//	ssh.Dial("tcp", d.Address, ...)
package sshdevice

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// User and Password are who can log in.
const (
	User     = "audit"
	Password = "secret"
)

// Device is a server of SSH on a loopback port. It runs no command, but prints
// which one it got. The command fail ends with status 3.
type Device struct {
	Address string
	// Keys are its host keys: ECDSA, which clients prefer, and Ed25519.
	Keys []ssh.PublicKey

	listener net.Listener
	serving  sync.WaitGroup
}

// Start starts a device. Close it when it is not needed any more.
func Start() (*Device, error) {
	d := &Device{}
	cfg := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
		if c.User() != User || string(p) != Password {
			return nil, errors.New("wrong user or password")
		}
		return nil, nil
	}}
	preferred, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	for _, key := range []crypto.Signer{preferred, other} {
		signer, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			return nil, err
		}
		cfg.AddHostKey(signer)
		d.Keys = append(d.Keys, signer.PublicKey())
	}
	if d.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	d.Address = d.listener.Addr().String()
	d.serving.Go(func() {
		for {
			conn, err := d.listener.Accept()
			if err != nil {
				return
			}
			d.serving.Go(func() { login(conn, cfg) })
		}
	})
	return d, nil
}

// Close stops the device, and waits for its clients to leave.
func (d *Device) Close() {
	_ = d.listener.Close()
	d.serving.Wait()
}

// login serves one client.
func login(conn net.Conn, cfg *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		serving.Go(func() { session(channel, requests) })
	}
}

// session answers the commands of one session.
func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		fmt.Fprintf(channel, "ran %s", exec.Command)
		var exit struct{ Status uint32 }
		if exec.Command == "fail" {
			exit.Status = 3
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exit))
		_ = channel.Close()
	}
}
