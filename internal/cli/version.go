package cli

import (
	"runtime"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// versionCmd is `ruedo version`.
type versionCmd struct {
	ShowConfig bool `help:"Show every setting with its value and where it came from."`
}

func (*versionCmd) Examples() []string {
	return []string{"ruedo version", "ruedo version --show-config", "ruedo version --show-config -o json"}
}

func (c *versionCmd) Run(s *session.Session) error {
	shown := struct {
		Version  string             `json:"version"`
		Go       string             `json:"go"`
		Platform string             `json:"platform"`
		File     string             `json:"config_file,omitempty"`
		Settings []settings.Setting `json:"settings,omitempty"`
	}{
		Version:  version(),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if c.ShowConfig {
		shown.File, shown.Settings = s.Settings.File, s.Settings.List()
	}
	switch {
	case s.Print.Format == output.Name:
		return s.Printf("%s", shown.Version)
	case !s.Print.ForPeople():
		return s.Print.Value(shown)
	case !c.ShowConfig:
		return s.Printf("ruedo %s (%s, %s)", shown.Version, shown.Go, shown.Platform)
	}
	if err := s.Printf("ruedo %s (%s, %s)", shown.Version, shown.Go, shown.Platform); err != nil {
		return err
	}
	file := shown.File
	if file == "" {
		file = "none"
	}
	if err := s.Printf("config file: %s\n", file); err != nil {
		return err
	}
	var rows [][]string
	if !s.Print.NoHeaders {
		rows = append(rows, []string{"SETTING", "VALUE", "FROM"})
	}
	for _, s := range shown.Settings {
		value := output.Safe(s.Value)
		if value == "" {
			value = "-"
		}
		rows = append(rows, []string{s.Name, value, s.Origin})
	}
	return s.Print.Rows(rows)
}
