package operate

import "github.com/amifend/amifend/cmd/amifend/internal/control"

// sensorStatus adds the state of the kernel sensor.
func (s *Service) sensorStatus(st *control.Status) {
	if s.Sensor == nil {
		return
	}

	found := s.Sensor()
	out := &control.Sensor{
		On: found.On, Problem: found.Problem, Logs: found.Logs, Evidence: found.Evidence,
		Accepted: found.Accepted, Lost: found.Lost, Servers: []control.SensorServer{},
		Nonces: found.Nonces, NonceProblem: found.NonceProblem, Proven: found.Proven,
		Astray: found.Astray, Gaps: found.Gaps,
	}
	for _, one := range found.Servers {
		out.Servers = append(out.Servers, control.SensorServer{
			Name: one.Name, Judging: one.Judging, Problem: one.Problem, Refused: one.Refused,
			Silent: one.Silent, Proves: one.Proves, ProofProblem: one.ProofProblem,
		})
	}
	st.Sensor = out
}
