package leading

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// JobNoun is the jobs of the leader.
func JobNoun() *verb.Noun {
	type J = *ruedov1.Job
	return &verb.Noun{
		Name: "job", Plural: "jobs",
		Get: verb.Get[J, verb.ByName]{
			Doc: verb.Doc{
				Help:     "List the jobs of the leader, with the results of their last runs.",
				Examples: []string{"ruedo get jobs", "ruedo get jobs -o wide"},
			},
			Fetch: func(ctx context.Context, core *client.Client, a verb.ByName) ([]J, error) {
				return verb.Only(core.ListJobs(ctx, &ruedov1.ListJobsRequest{}), a.Names, J.GetName, fault.JobNotFound, "job")
			},
			Message: func(items []J) proto.Message { return &ruedov1.ListJobsResponse{Items: items} },
			Name:    J.GetName,
			Empty:   "no jobs",
			Columns: []output.Column[J]{
				{Head: "NAME", Cell: J.GetName},
				{Head: "INTERVAL", Cell: func(j J) string { return output.Duration(j.GetInterval().AsDuration()) }},
				{Head: "LAST", Cell: func(j J) string {
					return ran(j, func(r *ruedov1.JobRun) string { return output.Since(r.GetStartTime()) + " ago" })
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

// Job is `ruedo job`.
type Job struct {
	Run Run `cmd:"" help:"Run one of the leader's jobs now."`
}

// Run is `ruedo job run`.
type Run struct {
	Name   string `arg:"" complete:"job" help:"Name of the job; see ruedo get jobs."`
	DryRun bool   `help:"Change nothing; show what the job would remove."`
}

func (*Run) Examples() []string {
	return []string{"ruedo job run collect-modules --dry-run", "ruedo job run collect-modules"}
}

func (c *Run) Run(s *session.Session) error {
	core, err := s.Connect()
	if err != nil {
		return err
	}
	req := &ruedov1.RunJobRequest{Name: c.Name, DryRun: c.DryRun}
	res, err := core.Jobs.RunJob(s.Ctx, req)
	if url := leaderURL(err); url != "" {
		if s.Verbose {
			s.Infof("core: %s (it leads)", url)
		}
		if core, err = s.At(url); err != nil {
			return err
		}
		res, err = core.Jobs.RunJob(s.Ctx, req)
	}
	if err != nil {
		return session.About(err, "job %s", c.Name)
	}
	if done, err := s.PrintMessage(res, c.Name); done {
		return err
	}
	for _, item := range res.GetItems() {
		line := item.GetKind() + " " + item.GetName()
		if n := item.GetSizeBytes(); n > 0 {
			line += " (" + output.Size(n) + ")"
		}
		if err := s.Printf("%s", line); err != nil {
			return err
		}
	}
	return s.Printf("%s: %s", c.Name, res.GetRun().GetResult())
}

// leaderURL returns where the leader is, if the core that was asked is not it.
func leaderURL(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Reason == fault.NotLeader {
		return e.Meta["leader"]
	}
	return ""
}
