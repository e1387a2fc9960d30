package derive

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is one rule of a tag of go-playground/validator.
type rule struct{ name, value string }

// rules splits a tag. Rules that are joined with | are left out: JSON Schema
// would have no text for them.
func rules(tag string) []rule {
	if tag == "" || tag == "-" {
		return nil
	}
	var list []rule
	for part := range strings.SplitSeq(tag, ",") {
		if part = strings.TrimSpace(part); strings.Contains(part, "|") {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		value = strings.NewReplacer("0x2C", ",", "0x7C", "|").Replace(value)
		list = append(list, rule{name, value})
	}
	return list
}

// formats are the rules that are formats of JSON Schema.
var formats = map[string]string{
	"email": "email", "url": "uri", "uri": "uri", "http_url": "uri", "https_url": "uri",
	"uuid": "uuid", "uuid3": "uuid", "uuid4": "uuid", "uuid5": "uuid", "uuid_rfc4122": "uuid", "uuid4_rfc4122": "uuid",
	"ipv4": "ipv4", "ip4_addr": "ipv4", "ipv6": "ipv6", "ip6_addr": "ipv6",
	"hostname": "hostname", "hostname_rfc1123": "hostname", "fqdn": "hostname",
}

// patterns are the rules that are patterns, as the validator has them.
var patterns = map[string]string{
	"alpha": "^[a-zA-Z]+$", "alphanum": "^[a-zA-Z0-9]+$", "numeric": `^[-+]?[0-9]+(?:\.[0-9]+)?$`, "number": "^[0-9]+$",
	"hexadecimal": "^(0[xX])?[0-9a-fA-F]+$", "hexcolor": "^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$",
	"e164": "^[+]?[1-9]?[0-9]{7,14}$", "ascii": `^[\x00-\x7F]*$`, "printascii": `^[\x20-\x7E]*$`,
}

// affixes make a pattern of the value of a rule.
var affixes = map[string][2]string{"startswith": {"^", ""}, "endswith": {"", "$"}, "contains": {"", ""}}

// validate lays rules over the schema of a field.
func validate(s object, list []rule) {
	for i, r := range list {
		if r.name == "dive" {
			rest := list[i+1:]
			if len(rest) > 0 && rest[0].name == "keys" {
				end := slices.IndexFunc(rest, func(r rule) bool { return r.name == "endkeys" })
				rest = rest[end+1:]
			}
			for _, keyword := range []string{"items", "additionalProperties"} {
				if inner, ok := s[keyword].(object); ok && inner["$ref"] == nil {
					validate(inner, rest)
				}
			}
			return
		}
		one(s, r)
	}
}

// one lays one rule over a schema. What JSON Schema cannot say is left out.
func one(s object, r rule) {
	t := kindOf(s)
	switch r.name {
	case "required":
		if t == "string" && s["minLength"] == nil && s["enum"] == nil {
			s["minLength"] = 1
		}
		return
	case "min", "gte":
		bound(s, t, r.value, true, 0)
		return
	case "max", "lte":
		bound(s, t, r.value, false, 0)
		return
	case "gt":
		bound(s, t, r.value, true, 1)
		return
	case "lt":
		bound(s, t, r.value, false, -1)
		return
	case "len":
		bound(s, t, r.value, true, 0)
		bound(s, t, r.value, false, 0)
		return
	case "oneof":
		choose(s, t, r.value)
		return
	case "unique":
		if t == "array" {
			s["uniqueItems"] = true
		}
		return
	}
	if t != "string" {
		return
	}
	if f := formats[r.name]; f != "" && s["format"] == nil {
		s["format"] = f
	}
	pattern := patterns[r.name]
	if a, ok := affixes[r.name]; ok && r.value != "" {
		pattern = a[0] + regexp.QuoteMeta(r.value) + a[1]
	}
	if pattern == "" {
		return
	}
	if s["pattern"] == nil {
		s["pattern"] = pattern
		return
	}
	more, _ := s["allOf"].([]any)
	s["allOf"] = append(more, object{"pattern": pattern})
}

// kindOf returns the type of a schema other than null.
func kindOf(s object) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		text, _ := t[0].(string)
		return text
	}
	return ""
}

// bound sets the lower or upper bound that a type has: of its value, its length
// or its count. For numbers, step says that the bound itself is not accepted; for
// the others it is added.
func bound(s object, t, value string, lower bool, step int) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return
	}
	suffix := map[string]string{"string": "Length", "array": "Items", "object": "Properties"}[t]
	switch {
	case t == "integer" || t == "number":
		keyword := map[bool]string{true: "minimum", false: "maximum"}[lower]
		if step != 0 {
			keyword = map[bool]string{true: "exclusiveMinimum", false: "exclusiveMaximum"}[lower]
		}
		s[keyword] = n
	case suffix != "" && s["format"] != "date-time" && s["contentEncoding"] == nil && n == math.Trunc(n) && n+float64(step) >= 0 && n < 1<<53:
		s[map[bool]string{true: "min", false: "max"}[lower]+suffix] = n + float64(step)
	}
}

// word is a value of oneof: a word, or several in single quotes.
var word = regexp.MustCompile(`'[^']*'|\S+`)

func choose(s object, t, value string) {
	var values []any
	for _, w := range word.FindAllString(value, -1) {
		w = strings.ReplaceAll(w, "'", "")
		switch t {
		case "string":
			values = append(values, w)
		case "integer", "number":
			n, err := strconv.ParseFloat(w, 64)
			if err != nil {
				return
			}
			values = append(values, n)
		default:
			return
		}
	}
	if _, nullable := s["type"].([]any); nullable {
		values = append(values, nil)
	}
	if len(values) > 0 {
		s["enum"] = values
	}
}
