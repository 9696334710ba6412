"""What it costs that an org has many messages, of which each customer is given no more."""

from bench.contest import ask_all, contestant, saturations
from bench.fetching import fetches
from bench.progress import say
from bench.ratios import ratio_row
from bench.rows import Row
from bench.stage import Stage


def measure(stage: Stage) -> list[Row]:
    few, many = (stage.world(count, stage.scale.fewer) for count in (stage.scale.few, stage.scale.many))
    rounds = []
    with stage.edge(few) as of_few, stage.edge(many) as of_many:
        contestants = [
            contestant(stage, server, fetches(stage, world, resolve=False), name=name)
            for name, server, world in (("W10", of_few, few), ("W10k", of_many, many))
        ]
        means = [ask_all(stage, each) for each in contestants]
        for number in range(stage.rounds):
            say(f"W10k × W10: round {number + 1} of {stage.rounds}")
            rounds.append(saturations(stage, contestants, number))
    note = f"answers of {means[0]:,.0f} bytes with 10 messages, {means[1]:,.0f} with 10,000"
    return [ratio_row("W10k × W10, hot", rounds, "W10k", "W10", note)]
