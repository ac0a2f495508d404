package journal

// This file remembers the latest lifts. If the journal is lost and cannot be read, a lifted ban
// would otherwise come back.

// mostRecent is the largest number of lifts that are remembered. They take about 3 MB.
const mostRecent = 10_000

// noteLifts remembers the lifts of a batch that is on the disk.
func (j *Journal) noteLifts(b *batch) {
	// A lift of all bans includes the earlier lifts.
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
		// When there is no room, any of them is forgotten. Their order is not known.
		if len(j.recent) >= mostRecent {
			for k := range j.recent {
				delete(j.recent, k)
				break
			}
		}

		j.recent[e.key] = *l
	}
}

// rememberLifts queues the remembered lifts for a database that was begun anew. A change of the
// same ban that waits is newer, and replaces the lift.
func (j *Journal) rememberLifts() {
	// In the empty database this lifts nothing. It keeps older elements of the kernel from being
	// taken for bans.
	if j.backlog.all == nil {
		j.backlog.all = j.general
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
