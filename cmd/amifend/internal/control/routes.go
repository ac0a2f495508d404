package control

import (
	"net/http"
	"net/url"
	"slices"
)

// Route is a request that the daemon answers. The handlers and docs/api.md are made from [Routes].
type Route struct {
	Method string
	Path   string
	Change bool // takes the right to change, not only to read
	About  string
	Query  []Parameter
	Body   any    // a zero value of the request's body; nil: none
	Answer any    // a zero value of the answer
	Lines  bool   // one value a line, as application/x-ndjson
	File   string // the content type of an answer that is a file; "": it is JSON
}

// Parameter is a parameter of a request's query. It is optional unless About says otherwise.
type Parameter struct{ Name, About string }

// Routes returns all requests of the API.
func Routes() []Route {
	var out []Route
	for _, r := range new(Server).table() {
		out = append(out, r.Route)
	}
	return out
}

// served is a route with its handler.
type served struct {
	Route
	has    bool // whether this daemon serves it
	answer handler
}

// checkQuery returns an error if a query has a parameter that the route lacks: a misspelt filter
// must not act as no filter.
func (r *Route) checkQuery(q url.Values) error {
	for k := range q {
		if !slices.ContainsFunc(r.Query, func(p Parameter) bool { return p.Name == k }) {
			return Errorf(CodeBadRequest, "%.50q is not a parameter of this request", k)
		}
	}
	return nil
}

// Parameters of several requests.
var (
	paramSince = Parameter{"since_seconds", "how far back; 86400 if it is missing"}
	paramLimit = Parameter{"limit", "how many at most"}
)

// table returns all routes with their handlers.
func (s *Server) table() []served {
	return slices.Concat(s.presentTable(), s.pastTable(), s.feedTable(),
		s.changeTable(), s.trialTable(), s.maintenanceTable())
}

// presentTable returns the routes that read the present.
func (s *Server) presentTable() []served {
	// The order is that of docs/api.md. A route is served only if the daemon has the part for it.
	return []served{
		// The state as a whole.
		{Route{
			Method: http.MethodGet, Path: "/v1/status", Answer: Status{},
			About: "The state of all parts. `health` names what needs attention. It is empty when " +
				"all is well.",
		}, s.Read != nil, s.status},

		// Who is banned, and why.
		{Route{
			Method: http.MethodGet, Path: "/v1/bans", Answer: Ban{}, Lines: true,
			About: "The bans. How many there are in all, and how many of them match, is in the " +
				"headers `Amifend-Total` and `Amifend-Matched`.",
			Query: []Parameter{
				{
					"within",
					"an address's or a network's prefix: bans inside it, and those that cover it",
				},
				{"server", "bans with evidence of this server"},
				{"rule", "bans by this rule"},
				{"scope", "`all`, `sip` or `stream`"},
				{"sort", "`newest` (the default), `until`, `dropped`, `score` or `source`"},
				paramLimit,
				{
					"names",
					"`true`: with `origin`, the names of the sources; a host that is not known yet " +
						"is there the next time, or after half a second in a list of at most 25",
				},
			},
		}, s.Read != nil, s.bans},
		{Route{
			Method: http.MethodGet, Path: "/v1/explain", Answer: Explanation{},
			About: "All that is known of an address, banned or not.",
			Query: []Parameter{
				{"address", "the address; it must be there"},
				{
					"zone",
					"the time zone of the text, such as `Europe/Berlin`; UTC if it is missing",
				},
			},
		}, s.Explain != nil, s.explain},

		// A screen asks this every second.
		{Route{
			Method: http.MethodGet, Path: "/v1/live", Answer: Live{},
			About: "The present and the last hour, for a screen that asks every second: the answer " +
				"costs what it returns, however many bans and sources there are.",
			Query: []Parameter{
				{paramLimit.Name, "how many entries of each list; 20 if it is missing, 100 at most"},
			},
		}, s.Live != nil, s.live},
	}
}

// pastTable returns the routes that read the past, which only a daemon with a journal has, and
// what operators have decided.
func (s *Server) pastTable() []served {
	return []served{
		{Route{
			Method: http.MethodGet, Path: "/v1/report", Answer: Report{},
			About: "Events and bans of the past, from the journal. Hours are reported as a whole.",
			Query: []Parameter{
				paramSince,
				{
					paramLimit.Name,
					"how many of each kind at most; 1000 if it is missing, and no more",
				},
				{"trend", "`true`: with `trend`, the hours or days and the time before"},
			},
		}, s.Past != nil, s.report},
		{Route{
			Method: http.MethodGet, Path: "/v1/alerts", Answer: AlertList{},
			About: "The alerts, from the journal: events since a time, and conditions that went " +
				"on after that time or are open. `total` also counts alerts beyond `limit`.",
			Query: []Parameter{
				paramSince,
				{"address", "alerts about this address, and about networks that it is in"},
				{"kind", "alerts of this kind"},
				{paramLimit.Name, "how many at most; 1000 if it is missing, and no more"},
			},
		}, s.Past != nil, s.alerts},
		{Route{
			Method: http.MethodGet, Path: "/v1/logins", Answer: LoginList{},
			About: "How the accounts of phones logged in, from the journal: over what, and from how " +
				"many networks. Hours are reported as a whole.",
			Query: []Parameter{paramSince},
		}, s.Past != nil, s.logins},

		{Route{
			Method: http.MethodGet, Path: "/v1/notify", Answer: NotifyTargets{},
			About: "The targets of notifications, and what waits for each.",
		}, s.Notify != nil, s.notifyTargets},
		{Route{
			Method: http.MethodGet, Path: "/v1/allow", Answer: AllowList{},
			About: "Who is never banned, and why.",
		}, s.Read != nil, s.allowed},
		{Route{
			Method: http.MethodGet, Path: "/v1/deny", Answer: DenyList{},
			About: "What is always dropped by command. The lists of `[deny]` are only counted.",
		}, s.Deny != nil, s.denyList},
		{Route{
			Method: http.MethodGet, Path: "/v1/undo", Answer: Undone{},
			About: "The command of the caller that `POST /v1/undo` would undo.",
		}, s.Undo != nil, s.lastCommand},

		// This answer ends with the client, not by itself.
		{Route{
			Method: http.MethodGet, Path: "/v1/events", Answer: Event{}, Lines: true,
			About: "The security events as they come, until the client goes. A line that says " +
				"`lost` counts those that were not read fast enough.",
			Query: []Parameter{
				{"within", "a prefix: events of sources in it"},
				{"server", "events of this server"},
				{"kind", "Asterisk's name of an event, such as InvalidPassword; it may be there " +
					"more than once"},
			},
		}, s.Events != nil, s.events},
	}
}

// feedTable returns the routes of the feeds and of the limiter that change nothing.
func (s *Server) feedTable() []served {
	return []served{
		{Route{
			Method: http.MethodGet, Path: "/v1/feeds", Answer: Feeds{},
			About: "The feeds of `[[feed]]`: their lists, what they dropped, and what they spare.",
		}, s.Feeds != nil, s.feeds},
		{Route{
			Method: http.MethodGet, Path: "/v1/limited", Answer: LimitedList{},
			About: "Who sent more than `[limiter]` allows, in the last ten minutes.",
		}, s.Limited != nil, s.limited},
	}
}

// changeTable returns the routes that change whom amifend drops, and of whom it tells.
func (s *Server) changeTable() []served {
	// All of these need the right to change.
	return []served{
		// Bans and lifts.
		{Route{
			Method: http.MethodPost, Path: "/v1/bans", Change: true, Body: NewBans{},
			Answer: Banned{},
			About:  "Bans. The answer has the result for each, also for those that were refused.",
		}, s.Ban != nil, s.ban},
		{Route{
			Method: http.MethodDelete, Path: "/v1/bans", Change: true, Answer: Lifted{},
			About: "Lifts bans, and forgets what was held against their sources. For one address " +
				"the answer says whether it still sends, if the kernel was asked for its " +
				"counters before.",
			Query: []Parameter{
				{"within", "a prefix: bans inside it, and those that cover it"},
				{"all", "`true` instead of `within`: all bans"},
			},
		}, s.Ban != nil, s.unban},

		// Allowances by command.
		{Route{
			Method: http.MethodPost, Path: "/v1/allow", Change: true, Body: NewAllow{},
			Answer: Allowed{},
			About: "Allows a prefix, or the addresses of a host name as they change. What is " +
				"allowed is never banned.",
		}, s.Allow != nil, s.allow},
		{Route{
			Method: http.MethodDelete, Path: "/v1/allow", Change: true, Answer: Allowed{},
			About: "Removes what was allowed by a command.",
			Query: []Parameter{
				{"prefix", "what was allowed"},
				{"name", "or the host name that was"},
			},
		}, s.Allow != nil, s.disallow},

		// Prefixes of any length that are always dropped.
		{Route{
			Method: http.MethodPost, Path: "/v1/deny", Change: true, Body: NewDeny{},
			Answer: DenyResults{},
			About: "Denies prefixes of any length until they are removed. What must never be " +
				"banned is spared. The answer has the result for each.",
		}, s.Deny != nil, s.deny},
		{Route{
			Method: http.MethodDelete, Path: "/v1/deny", Change: true, Answer: DenyResults{},
			About: "Removes what was denied by a command.",
			Query: []Parameter{{"prefix", "what was denied; it may be there more than once"}},
		}, s.Deny != nil, s.undeny},
		{Route{
			Method: http.MethodPost, Path: "/v1/undo", Change: true, Answer: Undone{},
			About: "Undoes the last ban, unban, allow or deny of the caller's uid within the last " +
				"hour. A lift of all bans, an import and a reload are not undone.",
		}, s.Undo != nil, s.undo},

		{Route{
			Method: http.MethodPost, Path: "/v1/alerts/ignored", Change: true,
			Body: IgnoreAlert{}, Answer: IgnoredAlert{},
			About: "Silences an open condition for good, with a note.",
		}, s.Silence != nil, s.ignoreAlert},
		{Route{
			Method: http.MethodDelete, Path: "/v1/alerts/ignored", Change: true,
			Answer: IgnoredAlert{},
			About:  "Ends the silence about a condition, so that it is reported again.",
			Query:  []Parameter{{"id", "of the condition; it must be there"}},
		}, s.Silence != nil, s.heedAlert},

		{Route{
			Method: http.MethodPost, Path: "/v1/notify/test", Change: true, Body: TestNotify{},
			Answer: NotifyTested{},
			About: "Sends a test message to one target, or to all of them, and answers when each has " +
				"taken it or not.",
		}, s.Notify != nil, s.testNotify},
		{Route{
			Method: http.MethodPost, Path: "/v1/feeds/accept", Change: true, Body: AcceptFeed{},
			Answer: FeedAccepted{},
			About:  "Puts the list of a feed in force that waits for the yes of an operator.",
		}, s.Feeds != nil, s.acceptFeed},
	}
}

// trialTable returns the routes that end observing, and the trial that it ends with.
func (s *Server) trialTable() []served {
	return []served{
		{Route{
			Method: http.MethodPost, Path: "/v1/enforce", Change: true, Body: NewTrial{},
			Answer: Enforced{},
			About: "Ends observing for a trial. If the trial ends without `keep`, amifend " +
				"observes again.",
		}, s.Enforce != nil, s.enforce},
		{Route{
			Method: http.MethodPost, Path: "/v1/keep", Change: true, Answer: Kept{},
			About: "Keeps the bans of a trial, and ends the trial. If the trial ended observing, " +
				"the config must no longer say `observe`.",
		}, s.Keep != nil, s.keep},
	}
}

// maintenanceTable returns the routes that care for the daemon itself. All of them need the right
// to change.
func (s *Server) maintenanceTable() []served {
	return []served{
		{Route{
			Method: http.MethodPost, Path: "/v1/reconcile", Change: true, Answer: Reconciled{},
			About: "Compares the kernel, the journal and the engine, and repairs what differs.",
		}, s.Reconcile != nil, s.reconcile},
		{Route{
			Method: http.MethodPost, Path: "/v1/acknowledge", Change: true, Answer: Acknowledged{},
			About: "Removes the loss of the journal from the status.",
		}, s.Acknowledge != nil, s.acknowledge},
		{Route{
			Method: http.MethodPost, Path: "/v1/reload", Change: true, Answer: Reloaded{},
			About: "Has the daemon read its config again.",
		}, s.Reload != nil, s.reload},
		{Route{
			Method: http.MethodPost, Path: "/v1/backup", Change: true, File: backupType,
			About: "Copies the journal as it is now. What was decided before is in the copy.",
		}, s.Backup != nil, s.backup},
	}
}
