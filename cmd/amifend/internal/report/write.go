package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

func write(o Options, sources []*source, doubts uint64, out io.Writer) error {
	b := bufio.NewWriter(out)
	switch o.Format {
	case FormatJSON:
		writeJSON(b, sources)
	case FormatCSV:
		writeCSV(b, sources)
	default:
		writeText(b, sources, o.Location)
		if doubts > 0 {
			fmt.Fprintf(b, "%d log lines were left out: `amifend replay` tells why\n", doubts)
		}
	}
	return b.Flush()
}

// shownAccounts is how many accounts a line for people shows.
const shownAccounts = 5

func writeText(out *bufio.Writer, sources []*source, l *time.Location) {
	if len(sources) == 0 {
		fmt.Fprintln(out, "no failed attempts")
		return
	}
	total := 0
	for _, s := range sources {
		total += s.attempts
		const layout = "2006-01-02 15:04:05"
		fmt.Fprintf(out, "%7d  %s  %s to %s\n", s.attempts, s.addr, time.Unix(0, s.first).In(l).Format(layout), time.Unix(0, s.last).In(l).Format(layout+" MST"))
		names := make([]string, 0, shownAccounts)
		for _, a := range s.accounts[:min(len(s.accounts), shownAccounts)] {
			names = append(names, ami.Quote(a.Bytes()))
		}
		if len(s.accounts) > shownAccounts {
			names = append(names, "…")
		}
		fmt.Fprintf(out, "         %s: %s\n", s.accountCount(), strings.Join(names, " "))
		fmt.Fprintf(out, "         %s\n", s.kindList())
		fmt.Fprintf(out, "         verdict: %s\n", s.verdict(func(at int64) string { return time.Unix(0, at).In(l).Format(layout) }))
	}
	fmt.Fprintf(out, "--\nfailed attempts: %d, sources: %d\n", total, len(sources))
}

func (s *source) accountCount() string {
	if s.more {
		return fmt.Sprintf("more than %d accounts", maxAccounts)
	}
	return observe.Count(len(s.accounts), "account")
}

// kindList is `InvalidAccountID 12, ChallengeResponseFailed 3`.
func (s *source) kindList() string {
	var parts []string
	for k, n := range s.kinds {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", policy.Kind(k), n))
		}
	}
	return strings.Join(parts, ", ")
}

// verdict says what the daemon would have done, or why not.
func (s *source) verdict(when func(int64) string) string {
	switch {
	case s.bans > 0:
		text := fmt.Sprintf("banned %s, scope %s, rule %s", when(s.ban.From), s.ban.Scope, s.ban.Rule)
		if !s.ban.Prefix.IsSingleIP() {
			text += ", as " + s.ban.Prefix.String()
		}
		if s.bans > 1 {
			text += fmt.Sprintf(" (%d bans)", s.bans)
		}
		return text
	case s.protected != "":
		return "never banned: " + s.protected
	case s.loggedIn:
		return "not banned; it logged in too"
	default:
		return "not banned"
	}
}

// jsonSource is a line of the JSON format. Its keys are an API.
type jsonSource struct {
	Source       string         `json:"source"`
	Attempts     int            `json:"attempts"`
	First        string         `json:"first"` // RFC 3339, UTC
	Last         string         `json:"last"`
	Accounts     []string       `json:"accounts"`      // as ami.Quote prints them, without the quotes; 100 at most
	MoreAccounts bool           `json:"more_accounts"` // there are more
	Kinds        map[string]int `json:"kinds"`
	Banned       bool           `json:"banned"`
	Verdict      string         `json:"verdict"`
}

func writeJSON(out *bufio.Writer, sources []*source) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, s := range sources {
		object := jsonSource{
			Source: s.addr.String(), Attempts: s.attempts, First: rfc3339(s.first), Last: rfc3339(s.last), MoreAccounts: s.more,
			Kinds: make(map[string]int), Banned: s.bans > 0, Verdict: s.verdict(rfc3339),
		}
		for _, a := range s.accounts {
			object.Accounts = append(object.Accounts, observe.Name(a))
		}
		for k, n := range s.kinds {
			if n > 0 {
				object.Kinds[policy.Kind(k).String()] = n
			}
		}
		_ = enc.Encode(object) // the buffer keeps the error for Flush
	}
}

// writeCSV writes a table for spreadsheets. No cell begins with text of an attacker, but for a quotation mark that is part
// of the cell: so none is taken for a formula.
func writeCSV(out *bufio.Writer, sources []*source) {
	w := csv.NewWriter(out)
	row := func(cells ...string) { _ = w.Write(cells) } // the buffer keeps the error for Flush
	row("source", "attempts", "first", "last", "accounts", "account_names", "kinds", "verdict")
	for _, s := range sources {
		names := make([]string, 0, shownAccounts)
		for _, a := range s.accounts[:min(len(s.accounts), shownAccounts)] {
			names = append(names, ami.Quote(a.Bytes()))
		}
		count := strconv.Itoa(len(s.accounts))
		if s.more {
			count = "more than " + count
		}
		row(s.addr.String(), strconv.Itoa(s.attempts), rfc3339(s.first), rfc3339(s.last), count, strings.Join(names, " "),
			s.kindList(), s.verdict(rfc3339))
	}
	w.Flush()
}

func rfc3339(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }
