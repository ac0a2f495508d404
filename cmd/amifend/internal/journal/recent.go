package journal

// This file remembers the latest lifts. If the journal is lost and cannot be read, a lifted ban
// would otherwise come back.

// mostRecent is how many lifts are remembered: some 3 MB.
const mostRecent = 10_000

// noteLifts notes the lifts of a batch that is on the disk.
func (j *Journal) noteLifts(b *batch) {
	if b.all != nil {
		j.general, j.recent = b.all, nil
	}

	for _, e := range b.bans {
		l := e.lift
		if e.ban != nil {
			l = e.end
		}
		if l == nil {
			delete(j.recent, e.key) // it is banned again
			continue
		}

		if j.recent == nil {
			j.recent = make(map[Key]Lift)
		}
		if len(j.recent) >= mostRecent {
			for k := range j.recent { // any one
				delete(j.recent, k)
				break
			}
		}
		j.recent[e.key] = *l
	}
}

// rememberLifts queues the latest lifts for a database that has none. What waits counts more.
func (j *Journal) rememberLifts() {
	if j.backlog.all == nil {
		j.backlog.all = j.general // it lifts nothing: no ban is written before it
	}
	for k, l := range j.recent {
		e := j.backlog.entry(k, j.backlog.most)
		if e != nil && e.ban == nil && e.lift == nil {
			l.Known = true
			e.addLift(&l)
			j.backlog.lifted(e)
		}
	}
}
