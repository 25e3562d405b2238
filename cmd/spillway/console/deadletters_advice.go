package console

import "github.com/spillwayhq/spillway/shared/message"

// An advice says what a reason means, and what to do about it.
type advice struct{ Means, Next string }

const wouldFailAgain = " A redrive sends it only if it is told to, because it would become a dead letter again."

var advices = map[string]advice{
	message.ReasonRejected: {"Segment rejected the event when it was sent alone.",
		"Read Segment's answer. Correct the sender; export the events, correct their lines and send them with " +
			"spillway send. " +
			"If the cause was at Segment and is gone, redrive them."},
	message.ReasonExpired: {"It was retried for as long as a message may be, and Segment took it at no time.",
		"Look whether Segment takes events now. Then redrive: the events keep their messageIds and their times."},
	message.ReasonInvalid: {"The event is against a rule of Segment, which would answer 200 and drop it.",
		"Correct the sender by what the detail names. Export the events, correct their lines and send them with " +
			"spillway send." +
			wouldFailAgain},
	message.ReasonTooLarge: {"The message or one of its events is larger than a limit.",
		"Let the sender send less in one event." + wouldFailAgain},
	message.ReasonUndecodable: {"The body of the message can't be read: it is no JSON, or no batch of events.",
		"Find out what sends to the events queue besides ingest and the publisher." + wouldFailAgain},
	message.ReasonPanic: {"Reading the message made the deliver function panic, which is a defect of Spillway.",
		"Report it with the version and, where that may leave the machine, with the payload. Redrive it after an " +
			"upgrade by " +
			"naming the reason."},
	message.ReasonMovedBySQS: {"The deliver function received it again and again and never finished: it could not " +
		"start, was killed, or ran " +
		"out of time.",
		"Look at the function's log and at the alarms of that time. When the function runs, redrive."},
	message.ReasonNotGiven: {"It came to the dead-letter queue without a reason: somebody has sent it there by hand.",
		"Look at its payload. If it is an event, redrive it: deliver gives it a reason if it can't be delivered."},
}

// adviceFor returns what to do about a reason.
func adviceFor(reason string) advice {
	if a, ok := advices[reason]; ok {
		return a
	}
	return advice{"This version of Spillway does not know the reason: another version wrote it, or another program.",
		"Look at the detail and the payload, or open the page of the version that wrote it."}
}
