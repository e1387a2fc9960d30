package project

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/labels"
)

// Placement is a label selector, as it is written.
type Placement string

// UnmarshalYAML reads and checks a selector. YAML takes !gpu without quotes for a
// tag, and would read an empty text.
func (p *Placement) UnmarshalYAML(node ast.Node) error {
	text := ""
	switch n := node.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.TagNode:
		return mistake(node, `a placement that begins with ! has to stand in quotes, such as "!gpu"`)
	default:
		return mistake(node, "a label selector is expected here, such as "+labels.SelectorExample)
	}
	if err := CheckPlacement(text); err != nil {
		return mistake(node, fmt.Sprintf("%s; %s", err, fault.FromError(err).Fix))
	}
	*p = Placement(text)
	return nil
}

// mistake returns an error that package yamlfile reports with the line of a node.
func mistake(node ast.Node, message string) error {
	return &yaml.SyntaxError{Message: message, Token: node.GetToken()}
}

// CheckPlacement returns REQUEST_INVALID if text is not a label selector.
func CheckPlacement(text string) error {
	_, err := labels.ParseSelector(text)
	return err
}
