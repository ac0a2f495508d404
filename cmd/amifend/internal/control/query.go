package control

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BanQuery selects and orders bans. The zero value lists all, the newest first.
type BanQuery struct {
	Within netip.Prefix // bans inside it, and those that cover it; invalid: all
	Server string       // bans with evidence of this server
	Rule   string
	Scope  string
	Sort   string // one of BanSorts
	Limit  int    // 0: no limit
	Names  bool   // with the names of the sources
}

// BanSorts returns the orders of a list of bans: newest first, the next to end first, most dropped
// first, highest score first, by address.
func BanSorts() []string { return []string{"newest", "until", "dropped", "score", "source"} }

func (q BanQuery) values() url.Values {
	v := url.Values{}
	set := func(key, text string) {
		if text != "" {
			v.Set(key, text)
		}
	}
	if q.Within.IsValid() {
		v.Set("within", q.Within.String())
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}

	if q.Names {
		v.Set("names", "true")
	}
	set("server", q.Server)
	set("rule", q.Rule)
	set("scope", q.Scope)
	set("sort", q.Sort)

	return v
}

func parseBanQuery(v url.Values) (BanQuery, error) {
	q := BanQuery{
		Server: v.Get("server"), Rule: v.Get("rule"), Scope: v.Get("scope"),
		Sort: v.Get("sort"), Names: v.Get("names") == "true",
	}

	var err error
	if s := v.Get("within"); s != "" {
		if q.Within, err = netip.ParsePrefix(s); err != nil {
			return q, Errorf(CodeBadRequest, "within: is not a prefix")
		}
	}

	// The limit counts after the filter and the order.
	if s := v.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 {
			return q, Errorf(CodeBadRequest, "limit: is not a number above 0")
		}
	}

	if s := v.Get("names"); s != "" && s != "true" && s != "false" {
		return q, Errorf(CodeBadRequest, "names: write true or false")
	}

	// A misspelt filter must not act as no filter.
	if !slices.Contains([]string{"", "all", "sip", "stream"}, q.Scope) {
		return q, Errorf(CodeBadRequest, "scope: write all, sip or stream")
	}
	if q.Sort == "" {
		q.Sort = BanSorts()[0]
	}
	if !slices.Contains(BanSorts(), q.Sort) {
		return q, Errorf(CodeBadRequest, "sort: write one of %s", strings.Join(BanSorts(), ", "))
	}

	return q, nil
}

// Apply returns the bans to list, and the number of those that match. It reorders all.
func (q BanQuery) Apply(all []Ban) (found []Ban, matched int) {
	found = slices.DeleteFunc(all, func(b Ban) bool {
		return q.Within.IsValid() && !q.Within.Overlaps(b.Prefix) ||
			q.Server != "" && !slices.Contains(b.Servers, q.Server) ||
			q.Rule != "" && b.Rule != q.Rule || q.Scope != "" && b.Scope != q.Scope
	})

	matched = len(found)

	// Prefix and scope make the order the same in each call.
	slices.SortFunc(found, func(a, b Ban) int {
		return cmp.Or(q.compare(a, b), a.Prefix.Compare(b.Prefix),
			strings.Compare(a.Scope, b.Scope))
	})
	if q.Limit > 0 && matched > q.Limit {
		found = found[:q.Limit]
	}

	return found, matched
}

func (q BanQuery) compare(a, b Ban) int {
	switch q.Sort {
	case "until":
		return a.Until.Compare(b.Until)
	case "dropped":
		return cmp.Compare(dropped(b), dropped(a))
	case "score":
		return cmp.Compare(b.Score, a.Score)
	case "source":
		return a.Prefix.Compare(b.Prefix)
	default:
		return b.Since.Truncate(time.Second).Compare(a.Since.Truncate(time.Second))
	}
}

func dropped(b Ban) uint64 {
	if b.Dropped == nil {
		return 0
	}
	return *b.Dropped
}
