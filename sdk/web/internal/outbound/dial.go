// Package outbound makes requests and connections to the network, which the host
// carries.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// Error says why a stream failed before the other side answered.
type Error struct {
	Reason  string // a stable word, such as EGRESS_BLOCKED
	Message string
}

// Error returns the reason and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Message
}

// open opens an outbound stream and waits for the head of the other side.
// control gets the fields of the head whose names begin with a colon.
func open(ctx context.Context, h host.Host, head []byte, to string, begin func(*host.Stream), control func(key, value string)) (s *host.Stream, fields map[string][]string, stop func() bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	s, err = host.NewStream(h, h.StreamOpen(head), to)
	if err != nil {
		if errors.Is(err, host.ErrLimit) {
			err = &Error{Reason: "EGRESS_LIMIT", Message: "this call has too many streams open: close those that are not needed"}
		}
		return nil, nil, nil, err
	}
	stop = context.AfterFunc(ctx, func() { _ = s.Close() })
	if begin != nil {
		begin(s)
	}
	fields, err = answerHead(s, control)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		_ = s.Close()
		return nil, nil, nil, err
	}
	return s, fields, stop, nil
}

// answerHead waits for the head of the other side.
func answerHead(s *host.Stream, control func(key, value string)) (map[string][]string, error) {
	head, err := s.Part(host.PartHead)
	if err != nil {
		return nil, err
	}
	var failed Error
	fields, err := host.ParseFields(head, func(key, value string) {
		switch key {
		case abi.HeadError:
			failed.Reason = value
		case abi.HeadMessage:
			failed.Message = value
		default:
			control(key, value)
		}
	})
	if err == nil && failed.Reason != "" {
		err = &failed
	}
	return fields, err
}

// Dial makes a connection as package web says.
func Dial(ctx context.Context, h host.Host, network, address string) (net.Conn, error) {
	c, err := dial(ctx, h, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: host.Address(family(network), address), Err: err}
	}
	return c, nil
}

func dial(ctx context.Context, h host.Host, network, address string) (net.Conn, error) {
	scheme, err := schemeOf(network)
	if err != nil {
		return nil, err
	}
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	local, remote := "", address
	head := abi.AppendField(nil, abi.HeadURL, scheme+"://"+address)
	s, _, stop, err := open(ctx, h, head, address, nil, func(key, value string) {
		switch key {
		case abi.HeadLocal:
			local = value
		case abi.HeadRemote:
			remote = value
		}
	})
	if err != nil {
		return nil, err
	}
	// From here on the context does not matter, as with net.Dialer.
	if !stop() {
		_ = s.Close()
		return nil, ctx.Err()
	}
	of := family(network)
	c := host.NewConn(s, network, host.Address(of, local), host.Address(of, remote))
	if of == "udp" {
		return host.PacketConn{Conn: c}, nil
	}
	return c, nil
}

// family returns the network of the addresses of a network.
func family(network string) string {
	if strings.HasPrefix(network, "udp") {
		return "udp"
	}
	return "tcp"
}

// schemeOf returns the scheme of the URL for a network.
func schemeOf(network string) (string, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return "tcp", nil
	case "udp", "udp4", "udp6":
		return "udp", nil
	case "tls":
		return "tls", nil
	}
	return "", net.UnknownNetworkError(network)
}

// checkAddress checks that an address is a host and the number of a port.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if host == "" || strings.ContainsAny(host, "/?#@\\ \t\r\n") {
		return &net.AddrError{Err: "not the name or the address of a host", Addr: addr}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return &net.AddrError{Err: fmt.Sprintf("%q is not the number of a port", port), Addr: addr}
	}
	return nil
}
