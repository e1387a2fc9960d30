package settings

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/labels"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/port/origins"
)

// set parses text into the field of an entry. The error says what is expected.
func (e Entry) set(s *Settings, text string) error {
	field := reflect.ValueOf(s).Elem().Field(e.index[0]).Field(e.index[1])
	text = strings.TrimSpace(text)
	if len(e.Enum) > 0 && text != "" && !slices.Contains(e.Enum, text) {
		return fmt.Errorf("one of %s is expected", strings.Join(e.Enum, ", "))
	}
	switch {
	case field.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("a duration such as 30s is expected")
		}
		if e.check == "wait" && (d < time.Millisecond || d > 10*time.Minute) {
			return fmt.Errorf("a duration from 1ms to 10m is expected")
		}
		if e.check == "period" && (d < time.Second || d > 8760*time.Hour) {
			return fmt.Errorf("a duration from 1s to 8760h is expected")
		}
		if e.check == "session" && (d < time.Minute || d > 720*time.Hour) {
			return fmt.Errorf("a duration from 1m to 720h is expected")
		}
		if e.check == "age" && d > 87600*time.Hour {
			return fmt.Errorf("a duration from 0s to 87600h is expected")
		}
		if e.check == "delay" && d > 10*time.Minute {
			return fmt.Errorf("a duration from 0s to 10m is expected")
		}
		field.SetInt(int64(d))
		return nil
	case field.Kind() == reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "1", "yes", "on":
			field.SetBool(true)
		case "false", "0", "no", "off", "":
			field.SetBool(false)
		default:
			return fmt.Errorf("true or false is expected")
		}
		return nil
	case field.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			if e.check == "port" && strings.Contains(text, "://") {
				return fmt.Errorf("a number is expected; Kubernetes sets such a value for a service of that name: turn enableServiceLinks off in the pod")
			}
			return fmt.Errorf("a number is expected")
		}
		if e.check == "port" && (n < 0 || n > 65535) {
			return fmt.Errorf("a port from 0 to 65535 is expected")
		}
		if e.check == "count" && (n < 0 || n > 1_000_000) {
			return fmt.Errorf("a number from 0 to 1000000 is expected")
		}
		if e.check == "quota" && (n < 16 || n > 1_000_000) { // an empty store has a file of that size
			return fmt.Errorf("a number from 16 to 1000000 is expected")
		}
		if e.check == "bound" && (n < 1 || n > 1_000_000_000) {
			return fmt.Errorf("a number from 1 to 1000000000 is expected")
		}
		field.SetInt(int64(n))
		return nil
	case field.Kind() == reflect.Slice:
		list := strings.Fields(text)
		if e.check == "cores" {
			var err error
			if list, err = hosts.Split(text); err != nil {
				return err
			}
			field.Set(reflect.ValueOf(list))
			return nil
		}
		if e.check == "labels" {
			if _, err := labels.Parse(list); err != nil {
				return err
			}
		}
		for _, item := range list {
			if err := e.checkText(item); err != nil {
				return err
			}
		}
		field.Set(reflect.ValueOf(list))
		return nil
	}
	if text != "" {
		if err := e.checkText(text); err != nil {
			return err
		}
	}
	field.SetString(text)
	return nil
}

func (e Entry) checkText(text string) error {
	switch e.check {
	case "name":
		if !names.Valid(text) {
			return fmt.Errorf("a name of lower-case letters, digits and dashes is expected, 1 to 63 long")
		}
	case "hosts":
		if strings.Contains(text, "://") {
			return fmt.Errorf("host:port is expected, without a scheme (see store.etcd_use_tls)")
		}
		if strings.ContainsAny(text, ",;") {
			return fmt.Errorf("hosts are separated by spaces")
		}
		if _, port, err := net.SplitHostPort(text); err != nil || port == "" {
			return fmt.Errorf("host:port is expected, not %q", text)
		}
	case "names":
		if strings.ContainsAny(text, ":/,;") {
			return fmt.Errorf("names without a scheme or a port are expected, separated by spaces")
		}
	case "origins":
		_, err := origins.Parse([]string{text})
		return err
	case "label":
		if why := labels.CheckValue(text); why != "" {
			return errors.New(why)
		}
	case "cores":
		_, err := hosts.Split(text)
		return err
	case "url", "urls":
		if strings.ContainsAny(text, ",;") {
			return fmt.Errorf("URLs are separated by spaces")
		}
		return hosts.Check(text)
	}
	return nil
}

// text is the value of an entry as it would be written in the environment,
// with secrets in URLs masked.
func (e Entry) text(s *Settings) string {
	field := reflect.ValueOf(s).Elem().Field(e.index[0]).Field(e.index[1])
	switch v := field.Interface().(type) {
	case time.Duration:
		return v.String()
	case []string:
		masked := make([]string, len(v))
		for i, t := range v {
			masked[i] = mask(t)
		}
		return strings.Join(masked, " ")
	case string:
		return mask(v)
	default:
		return fmt.Sprint(v)
	}
}

var userinfo = regexp.MustCompile(`//[^/@\s]*@`)

// mask hides the user and password of a URL.
func mask(text string) string { return userinfo.ReplaceAllString(text, "//***@") }
