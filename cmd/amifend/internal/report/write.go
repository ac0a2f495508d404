package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/envelope"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/replay"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// write writes the report. failed is the error of a file that could not be read to its end.
func write(o Options, r result, notes []recording.Note, failed error, out io.Writer) error {
	b := bufio.NewWriter(out)
	shown := r.sources
	if o.Limit > 0 {
		shown = shown[:min(len(shown), o.Limit)]
	}

	// The sources that are not shown are counted, so that the list does not look complete.
	left := len(r.sources) - len(shown) + r.others

	switch o.Format {
	case FormatJSON:
		// The buffer keeps an error of writing for Flush.
		_ = envelope.New(newJSON(shown, left, notes)).Failed(failed).Write(b)
	case FormatCSV:
		// A table has no place for notes: they go beside it.
		writeCSV(b, shown)
		writeNotes(o.Notes, left, notes)
	default:
		writeText(b, shown, o.Location)
		writeEnd(b, &r, left, notes)
	}

	return b.Flush()
}

// writeNotes writes the notes and the number of sources left out, for a format without a place for
// them.
func writeNotes(w io.Writer, left int, notes []recording.Note) {
	if w == nil {
		return
	}
	if left > 0 {
		fmt.Fprintln(w, moreText(left))
	}

	for _, n := range notes {
		fmt.Fprintln(w, replay.NoteText(n))
	}
}

// shownAccounts is the number of accounts in a line of the text format.
const shownAccounts = 5

func writeText(out *bufio.Writer, sources []*source, l *time.Location) {
	for _, s := range sources {
		const layout = "2006-01-02 15:04:05"

		// The second time names the zone, for both.
		from := time.Unix(0, s.first).In(l).Format(layout)
		to := time.Unix(0, s.last).In(l).Format(layout + " MST")
		fmt.Fprintf(out, "%7d  %s  %s to %s\n", s.attempts, s.addr, from, to)
		fmt.Fprintf(out, "         %s: %s\n", s.accountCount(),
			strings.Join(s.accountNames("…"), " "))
		fmt.Fprintf(out, "         %s\n", s.kindList())
		fmt.Fprintf(out, "         verdict: %s\n",
			s.verdict(func(at int64) string { return time.Unix(0, at).In(l).Format(layout) }))
	}
}

// writeEnd writes the totals, the number of sources left out, and the notes. Without the notes,
// lines that were not read would look like a quiet PBX.
func writeEnd(out *bufio.Writer, r *result, left int, notes []recording.Note) {
	if len(r.sources) == 0 {
		fmt.Fprintln(out, "no failed attempts")
	} else {
		if left > 0 {
			fmt.Fprintln(out, moreText(left))
		}
		fmt.Fprintf(out, "--\nfailed attempts: %d, sources: %d\n", r.attempts,
			len(r.sources)+r.others)
	}

	// If the PBX's own address failed, something hides the senders, and no ban would reach them.
	if hidden := r.hidden(); hidden != nil {
		fmt.Fprintf(out, "note: %s failed here: %s\n", hidden.addr, hiddenText)
	}
	writeNotes(out, 0, notes)
}

// hiddenText explains failures of the PBX's own address.
const hiddenText = "the PBX does not see real sources. Something in front of it hides them: let " +
	"it pass them on (PROXY protocol, X-Forwarded-For, no masquerade)"

// hidden returns the source with the most attempts that is the PBX itself, or nil.
func (r *result) hidden() *source {
	for _, s := range r.sources {
		if s.sip && s.protected != "" && (s.addr.IsLoopback() ||
			strings.HasPrefix(s.protected, "the PBX")) {
			return s
		}
	}
	return nil
}

func moreText(left int) string { return fmt.Sprintf("%d more (amifend report -n COUNT)", left) }

// accountNames returns the first few accounts, quoted, followed by more if there are others.
func (s *source) accountNames(more ...string) []string {
	names := make([]string, 0, shownAccounts+1)
	for _, a := range s.accounts[:min(len(s.accounts), shownAccounts)] {
		names = append(names, ami.Quote(a.Bytes()))
	}

	if len(s.accounts) > shownAccounts {
		names = append(names, more...)
	}
	return names
}

func (s *source) accountCount() string {
	if s.more {
		return fmt.Sprintf("more than %s", wording.Count(len(s.accounts), "account"))
	}
	return wording.Count(len(s.accounts), "account")
}

// kindList returns the attempts by kind: `InvalidAccountID 12, ChallengeResponseFailed 3`.
func (s *source) kindList() string {
	var parts []string
	for k, n := range s.kinds {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", policy.Kind(k), n))
		}
	}
	return strings.Join(parts, ", ")
}

// verdict describes the ban that the daemon would have made, or why it would have made none.
func (s *source) verdict(when func(int64) string) string {
	switch {
	case s.bans > 0:
		// A ban of a prefix is named, since a neighbour may have caused it.
		text := fmt.Sprintf("banned %s, scope %s, rule %s", when(s.ban.From), s.ban.Scope,
			s.ban.Rule)
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

// JSON is the report in JSON. Its keys are an API.
type JSON struct {
	Sources []jsonSource  `json:"sources"` // those with the most attempts first
	Notes   []replay.Note `json:"notes"`   // in the form of a replay, so that one parser reads both
}

// jsonSource is a source in JSON.
type jsonSource struct {
	Source   string `json:"source"`
	Attempts int    `json:"attempts"`
	First    string `json:"first"` // RFC 3339, UTC
	Last     string `json:"last"`
	// Accounts are as ami.Quote prints them, without the quotes; 100 at most.
	Accounts     []string       `json:"accounts"`
	MoreAccounts bool           `json:"more_accounts"` // there are more
	Kinds        map[string]int `json:"kinds"`
	Banned       bool           `json:"banned"`
	Verdict      string         `json:"verdict"`
}

// newJSON returns the report as JSON. left is the number of sources that are left out.
func newJSON(sources []*source, left int, notes []recording.Note) JSON {
	out := JSON{Sources: []jsonSource{}, Notes: []replay.Note{}}
	for _, s := range sources {
		object := jsonSource{
			Source: s.addr.String(), Attempts: s.attempts, First: rfc3339(s.first),
			Last: rfc3339(s.last), MoreAccounts: s.more,
			Kinds: make(map[string]int), Banned: s.bans > 0, Verdict: s.verdict(rfc3339),
		}

		// Names may be an attacker's text, so they are quoted.
		for _, a := range s.accounts {
			object.Accounts = append(object.Accounts, wording.Name(a))
		}
		for k, n := range s.kinds {
			if n > 0 {
				object.Kinds[policy.Kind(k).String()] = n
			}
		}

		out.Sources = append(out.Sources, object)
	}

	if left > 0 {
		out.Notes = append(out.Notes, replay.Note{
			Action: "note", Kind: "more", Count: uint64(left),
			Reason: "sources left out", Do: "write a larger -n",
		})
	}

	for _, n := range notes {
		out.Notes = append(out.Notes, replay.NewNote(n))
	}
	return out
}

// writeCSV writes a table for spreadsheets. A cell with text of a sender begins with a quotation
// mark, so that no spreadsheet takes it for a formula.
func writeCSV(out *bufio.Writer, sources []*source) {
	w := csv.NewWriter(out)
	row := func(cells ...string) { _ = w.Write(cells) } // the buffer keeps the error for Flush
	row("source", "attempts", "first", "last", "accounts", "account_names", "kinds", "verdict")

	for _, s := range sources {
		count := strconv.Itoa(len(s.accounts))
		if s.more {
			count = "more than " + count
		}

		row(s.addr.String(), strconv.Itoa(s.attempts), rfc3339(s.first), rfc3339(s.last), count,
			strings.Join(s.accountNames(), " "),
			s.kindList(), s.verdict(rfc3339))
	}

	w.Flush()
}

func rfc3339(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }
