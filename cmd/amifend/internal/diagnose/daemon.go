package diagnose

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// errNoSocket is returned where the config names no control socket.
var errNoSocket = errors.New("no control socket is known")

// asJSON returns a value as readable JSON, unless there is an error.
func asJSON(v any, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(v, "", "  ")
}

// status asks the daemon for its status, and leaves out who uses the PBXs.
func status(ctx context.Context, c *control.Client) ([]byte, error) {
	if c == nil {
		return nil, errNoSocket
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	s, err := c.Status(ctx)
	for i := range s.SharedSources {
		s.SharedSources[i].Users = nil
	}
	if s.Observed != nil {
		s.Observed.Examples = nil
	}

	// The text of an alert names its account. Its kind is enough here.
	for i, h := range s.Health {
		if strings.HasPrefix(h.About, "alert ") {
			s.Health[i].What, s.Health[i].Do = "(not shown)", ""
		}
	}
	return asJSON(s, err)
}

// alertCount is how many alerts of a kind there were.
type alertCount struct {
	Kind     string    `json:"kind"`
	Severity string    `json:"severity"`
	Count    int       `json:"count"`
	Open     int       `json:"open"` // conditions that go on
	Last     time.Time `json:"last"`
}

// alertCounts counts the alerts of the last week by kind.
func alertCounts(ctx context.Context, c *control.Client) ([]byte, error) {
	if c == nil {
		return nil, errNoSocket
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	l, err := c.Alerts(ctx, control.AlertQuery{Since: 7 * 24 * time.Hour, Limit: control.MostReported})
	if err != nil {
		return nil, err
	}
	counts := map[string]alertCount{}
	for _, a := range l.Alerts {
		n := counts[a.Kind]
		n.Kind, n.Severity = a.Kind, a.Severity
		n.Count++
		if a.Open {
			n.Open++
		}
		if a.At.After(n.Last) {
			n.Last = a.At
		}
		counts[a.Kind] = n
	}

	kinds := slices.SortedFunc(maps.Values(counts), func(a, b alertCount) int {
		return cmp.Compare(b.Count, a.Count)
	})
	return asJSON(struct {
		Kinds []alertCount `json:"kinds"`
		Total int          `json:"total"` // with those that the answer had no room for
	}{kinds, l.Total}, nil)
}

// process returns the limits and the rights of the daemon's process.
func process(ctx context.Context, c *control.Client) ([]byte, error) {
	if c == nil {
		return nil, errNoSocket
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	pid, err := c.PID(ctx)
	if err != nil {
		return nil, err
	}

	var out []byte
	for _, name := range []string{"limits", "status", "cgroup", "uid_map"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			return out, err
		}
		out = append(out, "== "+name+"\n"...)
		out = append(out, text...)
	}
	return out, nil
}

// modules returns the modules that are built into this program.
func modules() []byte {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return []byte("not recorded by the build\n")
	}
	return []byte(info.String())
}
