package policy

// A tag names a table in what is saved: numbers that are never used for another.
type tag uint8

const (
	tagNone tag = iota
	_ // was that of bans
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
	tagCount
)

// newColumns returns the columns of all tables that are saved, by tag.
func (e *Engine) newColumns() (columns [tagCount]coded) {
	for _, col := range [...]coded{
		&column[accountID, account]{
			tag: tagAccounts, t: e.accounts, key: (*accountID).code, val: (*account).code, age: func(a *account) int64 { return int64(a.at) },
			list: func(en *entry[accountID, account]) uint8 { return listOfTried(en.val.okAt, whole(en.val.strangers)) },
		},
		&column[pairKey, pair]{
			tag: tagPairs, t: e.pairs, key: (*pairKey).code, val: (*pair).code, age: func(p *pair) int64 { return int64(p.touched) },
			list: func(en *entry[pairKey, pair]) uint8 {
				return listOfTried(en.val.okAt, int(en.val.fails)+int(en.val.excused)+int(en.val.shielded))
			},
		},
		&column[host, source]{
			tag: tagSources, t: e.sources, key: (*host).code, val: func(s *source, c *coder) { s.code(c, e) },
			age:  func(s *source) int64 { return int64(s.at) },
			list: func(en *entry[host, source]) uint8 { return e.sourceList(en.key.key(), &en.val) },
		},
		&column[key, network]{
			tag: tagNetworks, t: e.networks, key: (*key).code, val: (*network).code, age: func(n *network) int64 { return int64(n.at) },
			list: func(en *entry[key, network]) uint8 { return e.networkList(en.key, &en.val) },
			full: func(list uint8) {
				if list == listProved {
					e.blindAt, e.blind = e.sec, true // see touchNetwork
				}
			},
		},
		&column[requestKey, request]{
			tag: tagRequests, t: e.requests, key: (*requestKey).code, val: (*request).code, age: func(q *request) int64 { return q.at },
			list: func(en *entry[requestKey, request]) uint8 {
				if en.val.held {
					return listHeld
				}
				return listPlain
			},
		},
		&column[dialogKey, dialog]{
			tag: tagDialogs, t: e.dialogs, key: (*dialogKey).code, val: (*dialog).code, age: func(d *dialog) int64 { return d.at },
			list: func(*entry[dialogKey, dialog]) uint8 { return listAll },
		},
		&column[key, silent]{
			tag: tagSilents, t: e.silents, key: (*key).code, val: (*silent).code, age: func(q *silent) int64 { return q.at },
			list: func(en *entry[key, silent]) uint8 {
				if en.val.accounts > unansweredFree && en.val.weighed == 0 {
					return listHeld
				}
				return listPlain
			},
		},
		&column[key, trail]{
			tag: tagTrails, t: e.trails, key: (*key).code, val: (*trail).code,
			age: func(t *trail) int64 { return t.ring[(t.n-1)%evidenceKept].At },
			list: func(en *entry[key, trail]) uint8 {
				if en.val.n > 1 {
					return listTrail
				}
				return listSingle
			},
		},
		&column[alertKey, uint32]{
			tag: tagAlerts, t: e.alerts, key: (*alertKey).code, val: codeSecond, age: func(at *uint32) int64 { return int64(*at) },
			list: func(*entry[alertKey, uint32]) uint8 { return listAll },
		},
		&column[accountID, voucher]{
			tag: tagVouchers, t: e.vouchers, key: (*accountID).code, val: (*voucher).code,
			age:  func(v *voucher) int64 { return int64(max(v.at[0], v.provedSince)) },
			list: func(*entry[accountID, voucher]) uint8 { return listAll },
		},
	} {
		columns[col.of()] = col
	}
	return columns
}
