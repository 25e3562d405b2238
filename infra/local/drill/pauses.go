package drill

import (
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
)

// toggle does what a person does with `spillway region`, `spillway pause` and `spillway resume`.
// The mark of a pause comes first, and goes last.
func (s *simulation) toggle(step *Step) error {
	mark, err := operator.New(time.Now(), "a person", step.Text)
	if err != nil {
		return err
	}
	switch step.Do {
	case Drain:
		s.faults.switchTo(topology.DrainedParameter, mark.Document())
	case Restore:
		s.faults.switchTo(topology.DrainedParameter, nil)
	case Pause:
		s.faults.switchTo(topology.PausedParameter, mark.Document())
		s.world.Delivery.SetEnabled(false)
	case Resume:
		s.world.Delivery.SetEnabled(true)
		s.faults.switchTo(topology.PausedParameter, nil)
	case PauseKey, ResumeKey:
		keys := operator.Keys{}.Pause(event.KeyID(partnerKey), mark)
		if step.Do == ResumeKey {
			keys = keys.Resume(event.KeyID(partnerKey), time.Now())
		}
		document, err := keys.Document()
		s.faults.switchTo(topology.PausedKeysParameter, document)
		return err
	}
	return nil
}
