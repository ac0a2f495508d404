package policy

import "github.com/amifend/amifend/policy/internal/table"

// A tag names a table in what is saved: numbers that are never used for another.
type tag uint8

const (
	tagNone tag = iota
	_           // was that of bans
	tagAccounts
	tagPairs
	tagSources
	tagNetworks
	tagRequests
	tagDialogs
	tagSilents
	tagTrails
	tagAlerts
	tagVouchers
	tagPardon // no table: what was held against a host, or a prefix and all in it, is forgotten
	tagLift   // no table: what was held against a prefix itself
	tagSites
	tagSharers
	tagConditions
	tagCount
)

// hotList is a list where Changes looks first. share is the part in 32 of its records that it may
// take before the others had theirs.
type hotList struct {
	share  int
	newest func() table.Ref
	write  func(c *coder, from table.Ref, most int) (next table.Ref, n int)
}

// hotLists is the number of hot lists.
const hotLists = 14

func hot[K table.Key, V any, L ~uint8](col *column[K, V, L], list L, share int) hotList {
	return hotList{share, func() table.Ref { return col.t.Newest(list) }, col.hot}
}

// setColumns makes the columns of all tables that are saved.
func (e *Engine) setColumns() {
	accounts := e.accountColumn()
	pairs := e.pairColumn()
	sources := e.sourceColumn()
	networks := e.networkColumn()
	trails := e.trailColumn()
	sites := e.siteColumn()

	for _, col := range [...]coded{
		accounts, pairs, sources, networks, trails, e.requestColumn(), e.dialogColumn(), e.silentColumn(),
		e.alertColumn(), e.voucherColumn(), sites, e.sharerColumn(), e.conditionColumn(),
	} {
		e.columns[col.of()] = col
	}

	// Sources that have a score, were banned or are proved matter most, then what explains them.
	e.save.hot = [hotLists]hotList{
		hot(sources, listBanned, 4),
		hot(sources, listStruck, 4),
		hot(sources, listActive, 5),
		hot(sources, listProved, 5),
		hot(pairs, listOwned, 3),
		hot(pairs, listGuessed, 2),
		hot(networks, listBanned, 1),
		hot(networks, listStruck, 1),
		hot(networks, listProved, 1),
		hot(networks, listActive, 1),
		hot(accounts, listOwned, 1),
		hot(accounts, listGuessed, 1),
		hot(trails, trailsSeveral, 2),
		hot(sites, sitesShared, 1),
	}
}

func (e *Engine) accountColumn() *column[accountID, account, usage] {
	return &column[accountID, account, usage]{
		tag: tagAccounts, t: e.accounts, codeKey: (*accountID).code, codeVal: (*account).code,
		age: func(a *account) int64 { return int64(a.at) },
		list: func(_ accountID, a *account) usage {
			return listOfTried(a.okAt, whole(a.strangers))
		},
	}
}

func (e *Engine) pairColumn() *column[pairKey, pair, usage] {
	return &column[pairKey, pair, usage]{
		tag: tagPairs, t: e.pairs, codeKey: (*pairKey).code, codeVal: (*pair).code,
		age: func(p *pair) int64 { return int64(p.touched) },
		list: func(_ pairKey, p *pair) usage {
			return listOfTried(p.okAt, int(p.fails)+int(p.excused)+int(p.shielded))
		},
	}
}

func (e *Engine) sourceColumn() *column[host, source, standing] {
	return &column[host, source, standing]{
		tag: tagSources, t: e.sources, codeKey: (*host).code,
		codeVal: func(s *source, c *coder) { s.code(c, e) },
		age:     func(s *source) int64 { return int64(s.at) },
		list:    func(h host, s *source) standing { return e.standingOf(h.key(), s) },
	}
}

func (e *Engine) networkColumn() *column[key, network, standing] {
	return &column[key, network, standing]{
		tag: tagNetworks, t: e.networks, codeKey: (*key).code, codeVal: (*network).code,
		age:  func(n *network) int64 { return int64(n.at) },
		list: e.networkStanding,
		evicted: func(list standing) {
			if list == listProved {
				e.blindAt, e.blind = e.sec, true // see evictNetwork
			}
		},
	}
}

func (e *Engine) requestColumn() *column[requestKey, request, requestList] {
	return &column[requestKey, request, requestList]{
		tag: tagRequests, t: e.requests, codeKey: (*requestKey).code, codeVal: (*request).code,
		age: func(q *request) int64 { return q.at },
		list: func(_ requestKey, q *request) requestList {
			if q.held {
				return requestsHeld
			}
			return requestsPlain
		},
	}
}

func (e *Engine) dialogColumn() *column[dialogKey, dialog, single] {
	return &column[dialogKey, dialog, single]{
		tag: tagDialogs, t: e.dialogs, codeKey: (*dialogKey).code, codeVal: (*dialog).code,
		age:  func(d *dialog) int64 { return d.at },
		list: func(dialogKey, *dialog) single { return only },
	}
}

func (e *Engine) silentColumn() *column[key, silent, silentList] {
	return &column[key, silent, silentList]{
		tag: tagSilents, t: e.silents, codeKey: (*key).code, codeVal: (*silent).code,
		age: func(q *silent) int64 { return q.at },
		list: func(_ key, q *silent) silentList {
			if q.accounts > unansweredFree && q.weighed == 0 {
				return silentsWaiting
			}
			return silentsFew
		},
	}
}

func (e *Engine) trailColumn() *column[key, trail, trailList] {
	return &column[key, trail, trailList]{
		tag: tagTrails, t: e.trails, codeKey: (*key).code, codeVal: (*trail).code,
		age: func(t *trail) int64 { return t.ring[(t.n-1)%evidenceKept].At },
		list: func(_ key, t *trail) trailList {
			if t.n > 1 {
				return trailsSeveral
			}
			return trailsSingle
		},
	}
}

func (e *Engine) alertColumn() *column[alertKey, uint32, single] {
	return &column[alertKey, uint32, single]{
		tag: tagAlerts, t: e.alerts, codeKey: (*alertKey).code, codeVal: codeSecond,
		age:  func(at *uint32) int64 { return int64(*at) },
		list: func(alertKey, *uint32) single { return only },
	}
}

func (e *Engine) voucherColumn() *column[accountID, voucher, single] {
	return &column[accountID, voucher, single]{
		tag: tagVouchers, t: e.vouchers, codeKey: (*accountID).code, codeVal: (*voucher).code,
		age:  func(v *voucher) int64 { return int64(max(v.at[0], v.provedSince)) },
		list: func(accountID, *voucher) single { return only },
	}
}

func (e *Engine) siteColumn() *column[key, site, siteList] {
	return &column[key, site, siteList]{
		tag: tagSites, t: e.sites, codeKey: (*key).code, codeVal: (*site).code,
		age:  func(t *site) int64 { return int64(t.latest()) },
		list: func(_ key, t *site) siteList { return t.list() },
	}
}

func (e *Engine) sharerColumn() *column[accountID, sharer, single] {
	return &column[accountID, sharer, single]{
		tag: tagSharers, t: e.sharers, codeKey: (*accountID).code, codeVal: (*sharer).code,
		age:  func(v *sharer) int64 { return int64(v.at[0]) },
		list: func(accountID, *sharer) single { return only },
	}
}

func (e *Engine) conditionColumn() *column[alertKey, condition, conditionList] {
	return &column[alertKey, condition, conditionList]{
		tag: tagConditions, t: e.conditions, codeKey: codeConditionKey, codeVal: (*condition).code,
		age: func(c *condition) int64 { return int64(c.last) },
		list: func(k alertKey, c *condition) conditionList {
			return conditionsIn(kindOfCondition(k.rule), c.state)
		},
	}
}
