package project

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/route"
)

// Route is a route as it is written.
type Route struct {
	Host    string   `yaml:"host" default:"any host" help:"Name of the host, without a port, such as shop.example.com. It has a dot: other names reach the API."`
	Path    string   `yaml:"path" required:"" help:"Path of the request. One that ends with a slash is a prefix. Without a host, it cannot be one of the API's, such as /call/ and /svc/."`
	Methods []string `yaml:"methods" default:"all methods" help:"Methods, in capitals. GET covers HEAD."`
}

// Routes are the routes of a service.
type Routes []*ruedov1.Route

// Keys returns the names that a route may have.
func (Routes) Keys() []string { return []string{"host", "path", "methods"} }

// UnmarshalYAML reads and checks a list of routes.
func (r *Routes) UnmarshalYAML(node ast.Node) error {
	if _, ok := node.(*ast.NullNode); ok {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return mistake(node, "a list of routes is expected here, such as [{host: shop.example.com, path: /}]")
	}
	for _, item := range list.Values {
		var one Route
		if err := yaml.NodeToValue(item, &one, yaml.Strict()); err != nil {
			return err
		}
		made := &ruedov1.Route{Host: one.Host, Path: one.Path, Methods: one.Methods}
		if err := route.Check(made); err != nil {
			text := err.Error()
			if fix := fault.FromError(err).Fix; fix != "" {
				text = fmt.Sprintf("%s; %s", text, fix)
			}
			return mistake(item, text)
		}
		*r = append(*r, made)
	}
	return nil
}

// routeValues returns routes as a document has them.
func routeValues(routes []*ruedov1.Route) []any {
	var list []any
	for _, r := range routes {
		one := &document{}
		one.add("host", r.GetHost(), r.GetHost() == "")
		one.add("path", r.GetPath(), false)
		one.add("methods", r.GetMethods(), len(r.GetMethods()) == 0)
		list = append(list, one.MapSlice)
	}
	return list
}
