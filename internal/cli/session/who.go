package session

import (
	"os"
	"os/user"
	"strings"
)

// Who says who runs the program, for those who find what they did: "ada@laptop".
// What is not known is left out.
func Who() string {
	var who []string
	if u, err := user.Current(); err == nil {
		who = append(who, u.Username)
	}
	if host, err := os.Hostname(); err == nil {
		who = append(who, host)
	}
	return strings.Join(who, "@")
}
