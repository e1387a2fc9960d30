// Command netaudit reads the configuration of a router, in the style of Cisco
// IOS, and reports what an auditor would object to. It connects to nothing: it
// looks only at the text.
package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Request is the input. decorators.yaml adds what its types do not say.
type Request struct {
	// Text of the configuration, as `show running-config` prints it.
	Config string `json:"config" validate:"required,max=1000000"`
	// The rules to check. Default: all.
	Rules []string `json:"rules,omitempty" validate:"omitempty,min=1,unique"`
	// The lowest severity to report. Default: low.
	Severity string `json:"severity,omitempty" validate:"omitempty,oneof=low medium high"`
}

// Response is the output.
type Response struct {
	// Findings in the order of the lines, those about the whole file first.
	Findings []Finding `json:"findings"`
	// Checked is how many rules were checked, Lines how many lines.
	Checked int `json:"checked"`
	Lines   int `json:"lines"`
}

// Finding is one objection.
type Finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	// Line counts from 1; 0 means that something is missing from the file.
	Line int `json:"line"`
	// Text is the line, with its secrets masked.
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

func init() { sdk.Handle(audit) }

func audit(ctx context.Context, in Request) (Response, error) {
	least, err := severityOf(in.Severity)
	if err != nil {
		return Response{}, err
	}
	all := rules()
	for _, name := range in.Rules {
		if !slices.ContainsFunc(all, func(r rule) bool { return r.name == name }) {
			return Response{}, sdk.Errorf(sdk.InvalidArgument, "there is no rule %q: use %s", name, strings.Join(ruleNames(all), ", "))
		}
	}
	config := parse(in.Config)
	if len(config) == 0 {
		return Response{}, sdk.Errorf(sdk.InvalidArgument, "config has no line to look at: send the text of `show running-config`")
	}
	res := Response{Findings: []Finding{}, Lines: strings.Count(strings.TrimSuffix(in.Config, "\n"), "\n") + 1}
	for _, r := range all {
		if r.severity < least || len(in.Rules) > 0 && !slices.Contains(in.Rules, r.name) {
			continue
		}
		res.Checked++
		for _, l := range r.check(config) {
			res.Findings = append(res.Findings, Finding{
				Rule: r.name, Severity: r.severity.String(), Line: l.number, Text: hideSecrets(l), Advice: r.advice,
			})
		}
	}
	slices.SortStableFunc(res.Findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return res, nil
}

func main() { sdk.Main() }
