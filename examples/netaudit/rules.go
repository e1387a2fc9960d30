package main

import "slices"

// rule is one thing that an auditor looks for. check returns the lines that it
// objects to; the zero line stands for something that is missing.
type rule struct {
	name     string
	severity severity
	advice   string
	check    func(config []line) []line
}

func ruleNames(rules []rule) []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	return names
}

// rules are all rules; decorators.yaml lists the same names.
func rules() []rule {
	return []rule{
		{"telnet-enabled", high, "Telnet sends passwords in the clear: use `transport input ssh`.", telnet},
		{"enable-password", high, "The password is stored in the clear or reversibly: use `enable secret`.",
			each(func(l line) bool { return l.has("enable", "password") })},
		{"user-password", medium, "The password is stored in the clear or reversibly: use `username NAME secret`.",
			each(func(l line) bool { return l.has("username") && slices.Contains(l.words[1:], "password") })},
		{"no-password-encryption", medium, "Add `service password-encryption`.",
			missing(func(l line) bool { return l.has("service", "password-encryption") })},
		{"snmp-default-community", high, "Everybody tries this community: choose another, or use SNMPv3.",
			each(func(l line) bool {
				return l.has("snmp-server", "community") && len(l.words) > 2 && wellKnown(l.words[2])
			})},
		{"snmp-write", high, "Who knows the community can change the router: use RO, or SNMPv3.",
			each(func(l line) bool { return l.has("snmp-server", "community") && slices.Contains(l.words, "RW") })},
		{"http-server", medium, "Management over plain HTTP: `no ip http server`, and `ip http secure-server` if it is needed.",
			each(func(l line) bool { return l.has("ip", "http", "server") })},
		{"permit-any-any", high, "The list lets everything pass: name sources, destinations and ports.", permitAnyAny},
		{"vty-open", medium, "Any address may try to log in: add `access-class LIST in`.", vtyOpen},
		{"no-exec-timeout", low, "Sessions stay open for ever: set a time such as `exec-timeout 10 0`.",
			each(func(l line) bool {
				return slices.Equal(l.words, []string{"exec-timeout", "0", "0"}) || slices.Equal(l.words, []string{"exec-timeout", "0"}) || l.has("no", "exec-timeout")
			})},
		{"no-ntp", low, "Logs without the right time prove little: add `ntp server ADDRESS`.",
			missing(func(l line) bool { return l.has("ntp", "server") || l.has("ntp", "peer") })},
		{"no-logging", low, "Logs are lost with the router: add `logging host ADDRESS`.",
			missing(func(l line) bool {
				return l.has("logging", "host") || l.has("logging") && len(l.words) == 2 && isAddress(l.words[1])
			})},
	}
}

// each objects to every line for which bad holds.
func each(bad func(line) bool) func([]line) []line {
	return func(config []line) []line {
		var found []line
		for _, l := range config {
			if bad(l) {
				found = append(found, l)
			}
		}
		return found
	}
}

// missing objects if good holds for no line.
func missing(good func(line) bool) func([]line) []line {
	return func(config []line) []line {
		if slices.ContainsFunc(config, good) {
			return nil
		}
		return []line{{}}
	}
}

func isVTY(block string) bool { return len(block) > 8 && block[:9] == "line vty " }

func telnet(config []line) []line {
	return each(func(l line) bool {
		return isVTY(l.block) && l.has("transport", "input") &&
			(slices.Contains(l.words[2:], "telnet") || slices.Contains(l.words[2:], "all"))
	})(config)
}

// permitAnyAny matches both the named and the numbered form of a list: " permit
// ip any any" and "access-list 101 permit ip any any".
func permitAnyAny(config []line) []line {
	want := []string{"permit", "ip", "any", "any"}
	return each(func(l line) bool {
		words := l.words
		if l.has("access-list") && len(words) > 2 {
			words = words[2:]
		} else if l.block != "" && len(words) > 0 && isNumber(words[0]) {
			words = words[1:] // a sequence number
		}
		return len(words) >= 4 && slices.Equal(words[:4], want)
	})(config)
}

// vtyOpen objects to a vty block with no inbound access class.
func vtyOpen(config []line) []line {
	return each(func(head line) bool {
		if head.block != "" || !isVTY(head.text) {
			return false
		}
		return !slices.ContainsFunc(config, func(l line) bool {
			return l.block == head.text && l.has("access-class") && slices.Contains(l.words, "in")
		})
	})(config)
}

// wellKnown reports whether a community is a factory default.
func wellKnown(community string) bool { return community == "public" || community == "private" }

func isNumber(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// isAddress is just good enough to distinguish an address from a keyword.
func isAddress(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
