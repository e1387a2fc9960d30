// Package hosts reads lists of cores as users write them: hosts, host:port, URLs, or
// unix:/path for sockets, separated by spaces or commas.
package hosts

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Max bounds the cores in a list.
const Max = 32

// Split returns the items of a list, without duplicates. The error says which
// item is not valid, or that there is none.
func Split(text string) ([]string, error) {
	var list []string
	items := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	for _, item := range items {
		if err := checkCore(item); err != nil {
			if len(items) > 1 {
				err = fmt.Errorf("%q: %w", Shown(item), err)
			}
			return nil, err
		}
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("a core is expected: host, host:port or a URL")
	case len(list) > Max:
		return nil, fmt.Errorf("%d cores are too many, the limit is %d", len(list), Max)
	}
	return list, nil
}

// Shown returns an address for display: without a user and a password.
func Shown(host string) string {
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		return host
	}
	scheme, _, found := strings.Cut(host[:at], "://")
	if !found {
		return "***" + host[at:]
	}
	return scheme + "://***" + host[at:]
}

// IsSocket reports whether an item of a list is the socket of a core.
func IsSocket(item string) bool { return strings.HasPrefix(item, "unix:") }

// checkCore is Check for an item of a list, which can be a socket.
func checkCore(item string) error {
	if path, ok := strings.CutPrefix(item, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return errors.New("the path of a socket begins with a slash: unix:/path")
		}
		return nil
	}
	return Check(item)
}

// Check returns an error unless text is a host, host:port or a URL with http or
// https.
func Check(text string) error {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if strings.ContainsRune(text, ';') {
		return errors.New("cores are separated by spaces or commas")
	}
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("host, host:port or a URL with http or https is expected")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%s is not a port: a number from 1 to 65535 is expected", port)
		}
	}
	return nil
}
