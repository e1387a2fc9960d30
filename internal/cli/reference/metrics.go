package reference

import (
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

func metrics() (page.Page, error) {
	process, err := telemetry.Process()
	return page.Page{
		Name: "metrics", Title: "Metrics",
		Parts: []page.Part{
			page.Text("`GET /metrics` of each core has its metrics in the text format of Prometheus. A runner has no port and no metrics of its own: " +
				"it sends what a call used to the core, which counts it. Counts begin with the process, and each core counts the calls that it answered: add them up over all cores."),
			page.Code{Language: "yaml", Text: "scrape_configs:\n  - job_name: ruedo\n    static_configs: [{targets: [\"core-1:7833\", \"core-2:7833\"]}]\n"},
			metricTable(telemetry.Table()),
			page.Heading("Labels"),
			page.Table{
				Columns: []page.Column{{Head: "label", Code: true}, {Head: "values"}},
				Rows: [][]string{
					{"service", "Name of a service that exists. Its counts go when it is deleted."},
					{"outcome", "`" + telemetry.OK + "`, or a [reason](reasons.md); `" + telemetry.Other + "` for any other word."},
					{"procedure", "What was asked for, such as `call` for `/call/SERVICE` or `ModuleService/UploadModule`; `" + telemetry.Other + "` for what does not exist."},
					{"job", "Name of a job of the leader, as in `ruedo get jobs`."},
					{"kind", "Kind of an event, as in `ruedo get events`."},
					{"reason", "A [reason](reasons.md) of an alarm, such as `STORE_FULL`."},
				},
			},
			page.Heading(processHeading),
			page.Text("Every program that is written in Go has these. They depend on its version and on the system; the table is for Linux."),
			metricTable(process),
		},
	}, err
}

// processHeading begins the part that depends on the system.
const processHeading = "The process"

func metricTable(list []telemetry.Metric) page.Table {
	t := page.Table{Columns: []page.Column{{Head: "metric", Code: true}, {Head: "type"}, {Head: "unit"}, {Head: "labels"}, {Head: "meaning"}}}
	for _, m := range list {
		t.Rows = append(t.Rows, []string{m.Name, m.Type, m.Unit(), codes(m.Labels), strings.Join(strings.Fields(m.Help), " ")})
	}
	return t
}
