package explain

import (
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// JSON is the JSON form of an explanation. Its keys and their meaning are an API. Times are RFC
// 3339 in UTC.
type JSON struct {
	Action      string     `json:"action"` // "explain"
	Source      string     `json:"source"`
	Time        string     `json:"time"`
	Protected   string     `json:"protected,omitempty"`
	Banned      bool       `json:"banned"`
	Prefix      string     `json:"prefix,omitempty"`
	Scope       string     `json:"scope,omitempty"`
	From        string     `json:"from,omitempty"`
	Until       string     `json:"until,omitempty"`
	Rule        string     `json:"rule,omitempty"`
	BanScore    float64    `json:"ban_score,omitempty"`
	BanAttempts int        `json:"ban_attempts,omitempty"`
	Strike      int        `json:"strike,omitempty"`
	Attempts    int        `json:"attempts"`
	Since       string     `json:"since,omitempty"`
	Scores      []score    `json:"scores,omitempty"`
	Evidence    []evidence `json:"evidence,omitempty"`
	Accounts    []account  `json:"accounts,omitempty"`
	Prefixes    []prefix   `json:"prefixes,omitempty"`
	Proved      bool       `json:"proved"`
	ProofAt     string     `json:"proof_at,omitempty"`
	Washed      bool       `json:"washed,omitempty"`
	Owns        int        `json:"owns,omitempty"`
	SharedBy    int        `json:"shared_by,omitempty"` // accounts that share the source
	Users       []string   `json:"users,omitempty"`     // some of them, like account
	Trust       float64    `json:"trust,omitempty"`
	Strikes     int        `json:"strikes,omitempty"`
	// MoreUnknown is the number of attempts on an unknown account that would ban it.
	MoreUnknown int    `json:"more_unknown,omitempty"`
	MoreKnown   int    `json:"more_known,omitempty"` // wrong passwords that would ban it
	ForgottenAt string `json:"forgotten_at,omitempty"`
}

type score struct {
	Rule      string  `json:"rule"`
	Proven    float64 `json:"proven"`
	Forgeable float64 `json:"forgeable"`
	Limit     float64 `json:"limit"`
}

type evidence struct {
	Time   string  `json:"time"`
	What   string  `json:"what"`
	Weight float32 `json:"weight"`
	// Forger names who could have chosen the address; it is empty if nobody could.
	Forger string `json:"forgeable_by,omitempty"`
}

type account struct {
	Account string `json:"account"` // as ami.Quote prints it, without the quotes
	Server  string `json:"server,omitempty"`
	OKAt    string `json:"success_at,omitempty"`
	Fails   int    `json:"failures,omitempty"`
	Excused int    `json:"excused,omitempty"`
	Forged  int    `json:"may_be_forged,omitempty"` // failures that do not count
}

type prefix struct {
	Prefix    string  `json:"prefix"`
	Proven    float64 `json:"proven"`
	Forgeable float64 `json:"forgeable"`
	Limit     float64 `json:"limit"`
	Suspects  float64 `json:"suspects"`
	Offenders int     `json:"offenders,omitempty"`
	Proved    bool    `json:"proved,omitempty"`
}

// New returns the JSON form of x. servers names the servers by index.
func New(x policy.Explanation, servers []string) JSON {
	j := JSON{
		Action: "explain", Source: x.Addr.String(), Time: rfc3339(x.At), Protected: x.Protected,
		Banned: x.Banned, Attempts: x.Attempts,
		Since: rfc3339(x.Since), Proved: x.Proved, ProofAt: rfc3339(x.ProofAt), Washed: x.Washed,
		Owns: x.Owns, SharedBy: x.Shared, Users: wording.NameAll(x.Users), Trust: x.Trust, Strikes: x.Strikes,
		MoreUnknown: x.MoreUnknown, MoreKnown: x.MoreKnown, ForgottenAt: rfc3339(x.CalmAt),
	}

	// The keys of a ban are left out if there is none.
	if x.Banned {
		j.Prefix = x.Ban.Prefix.String()
		j.Scope = x.Ban.Scope.String()
		j.From = rfc3339(x.Ban.From)
		j.Until = rfc3339(x.Ban.Until)
		j.Rule = x.Ban.Rule.String()
		j.BanScore = x.Ban.Score
		j.BanAttempts = x.Ban.Attempts
		j.Strike = x.Ban.Strike
	}

	for _, s := range x.Scores {
		j.Scores = append(j.Scores, score{s.Rule.String(), s.Proven, s.Forgeable, s.Limit})
	}

	// Each piece of evidence is described alone, because it has its own time and weight.
	for _, e := range x.Evidence {
		j.Evidence = append(j.Evidence, evidence{
			rfc3339(e.At),
			wording.Describe([]policy.Evidence{e}, servers), e.Weight, forger(e.Chooser),
		})
	}

	for _, a := range x.Accounts {
		// A server without a name is left out: its index has no meaning outside the daemon.
		out := account{
			Account: wording.Name(a.Account), OKAt: rfc3339(a.OKAt), Fails: a.Fails,
			Excused: a.Excused, Forged: a.Shielded,
		}
		if int(a.Server) < len(servers) {
			out.Server = servers[a.Server]
		}

		j.Accounts = append(j.Accounts, out)
	}

	for _, p := range x.Prefixes {
		j.Prefixes = append(j.Prefixes, prefix{
			p.Prefix.String(), p.Proven, p.Forgeable, p.Limit,
			p.Suspects, p.Offenders, p.Proved,
		})
	}

	return j
}

func forger(c policy.Chooser) string {
	if c.Proven() {
		return ""
	}
	return c.String()
}

func rfc3339(at int64) string {
	if at == 0 {
		return ""
	}
	return time.Unix(0, at).UTC().Format(time.RFC3339Nano)
}
