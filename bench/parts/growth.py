"""What it costs that an org has many messages, of which each customer is given no more."""

from bench.figures.ratios import ratio_row
from bench.figures.rows import Row
from bench.load.contest import ask_all, contestant, saturations
from bench.servers.stage import Stage
from bench.world.requests import fetches


def measure(stage: Stage) -> list[Row]:
    few, many = (stage.world(count, stage.scale.fewer) for count in (stage.scale.few, stage.scale.many))
    with stage.edge(few) as of_few, stage.edge(many) as of_many:
        contestants = [
            contestant(stage, server, fetches(world, stage.scale.requests, resolve=False), name=name)
            for name, server, world in (("W10", of_few, few), ("W10k", of_many, many))
        ]
        means = [ask_all(stage, each) for each in contestants]
        rounds = [saturations(stage, contestants, number) for number in stage.each_round("W10k × W10")]
    note = f"answers of {means[0]:,.0f} bytes with 10 messages, {means[1]:,.0f} with 10,000"
    return [ratio_row("W10k × W10, hot", rounds, "W10k", "W10", note)]
