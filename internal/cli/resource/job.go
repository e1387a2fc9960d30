package resource

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func jobs() *verb.Noun {
	type J = *ruedov1.Job
	return &verb.Noun{
		Name: "job", Plural: "jobs",
		Get: verb.Get[J, jobNames]{
			Doc: verb.Doc{
				Help:     "List what the leader does again and again, and what came of it.",
				Examples: []string{"ruedo get jobs", "ruedo get jobs -o wide"},
			},
			Fetch: func(ctx context.Context, core *client.Client, a jobNames) ([]J, error) {
				list, err := client.All(core.ListJobs(ctx, &ruedov1.ListJobsRequest{}))
				if err != nil {
					return nil, err
				}
				return only(list, a.Names, J.GetName, fault.JobNotFound, "job")
			},
			Message: func(items []J) proto.Message { return &ruedov1.ListJobsResponse{Items: items} },
			Name:    J.GetName,
			Empty:   "no jobs",
			Columns: []output.Column[J]{
				{Head: "NAME", Cell: J.GetName},
				{Head: "INTERVAL", Cell: func(j J) string { return output.Duration(j.GetInterval().AsDuration()) }},
				{Head: "LAST", Cell: func(j J) string {
					return ran(j, func(r *ruedov1.JobRun) string { return age(r.GetStartTime()) + " ago" })
				}},
				{Head: "TOOK", Cell: func(j J) string {
					return ran(j, func(r *ruedov1.JobRun) string { return output.Duration(r.GetDuration().AsDuration()) })
				}},
				{Head: "RESULT", Cell: func(j J) string { return ran(j, result) }},
				{Head: "NEXT", Cell: func(j J) string {
					return ran(j, func(*ruedov1.JobRun) string { return until(j.GetNextTime().AsTime()) })
				}, Wide: true},
				{Head: "CORE", Cell: func(j J) string { return ran(j, (*ruedov1.JobRun).GetCore) }, Wide: true},
				{Head: "DESCRIPTION", Cell: J.GetDescription, Wide: true},
			},
		},
	}
}

// ran returns what a cell says of the last run of a job.
func ran(j *ruedov1.Job, cell func(*ruedov1.JobRun) string) string {
	if j.GetLast() == nil {
		return "-"
	}
	return cell(j.GetLast())
}

func result(r *ruedov1.JobRun) string {
	if r.GetError() != "" {
		return "failed: " + r.GetError()
	}
	return r.GetResult()
}

func until(t time.Time) string {
	if d := time.Until(t); d > 0 {
		return "in " + output.Duration(d.Round(time.Second))
	}
	return "now"
}

// jobNames is the arguments of the list of jobs.
type jobNames struct {
	Names []string `arg:"" name:"name" optional:"" complete:"job" help:"List only this one. May be repeated."`
}

// Single reports whether one job is asked for by its name.
func (a jobNames) Single() bool { return len(a.Names) == 1 }
