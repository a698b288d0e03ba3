"""Variables of the original: names, shapes and random values, with their Hugging Face names."""

import numpy


class Variables:
    """`values[name]` is an array; `theirs[network][Hugging Face name]` is (name, transposed)."""

    def __init__(self, random, vocab, embedding, positions, discriminator, generator):
        """`discriminator` and `generator` are (layers, hidden, intermediate)."""
        self.random, self.embedding = random, embedding
        self.values, self.theirs = {}, {"discriminator": {}, "generator": {}}
        both = ("discriminator", "generator")
        for table, rows in (("word", vocab), ("position", positions), ("token_type", 2)):
            self.variable(both, f"electra/embeddings/{table}_embeddings", f"electra.embeddings.{table}_embeddings.weight", rows, embedding)
        self.norm(both, "electra/embeddings", "electra.embeddings", embedding)
        self.encoder("discriminator", "electra", *discriminator)
        self.encoder("generator", "generator", *generator)
        at = "discriminator_predictions"
        self.dense("discriminator", f"{at}/dense", f"{at}.dense", discriminator[1], discriminator[1])
        self.dense("discriminator", f"{at}/dense_1", f"{at}.dense_prediction", discriminator[1], 1)
        at = "generator_predictions"
        self.dense("generator", f"{at}/dense", f"{at}.dense", generator[1], embedding)
        self.norm("generator", at, at, embedding)
        self.variable("generator", f"{at}/output_bias", "generator_lm_head.bias", vocab)

    def variable(self, networks, name, theirs, *shape, transposed=False):
        self.values[name] = self.random.normal(0, 0.3, shape).astype(numpy.float32)
        for network in (networks,) if isinstance(networks, str) else networks:
            self.theirs[network][theirs] = (name, transposed)

    def norm(self, networks, scope, theirs, size):
        self.variable(networks, f"{scope}/LayerNorm/gamma", f"{theirs}.LayerNorm.weight", size)
        self.variable(networks, f"{scope}/LayerNorm/beta", f"{theirs}.LayerNorm.bias", size)

    def dense(self, networks, scope, theirs, inputs, outputs):
        self.variable(networks, f"{scope}/kernel", f"{theirs}.weight", inputs, outputs, transposed=True)
        self.variable(networks, f"{scope}/bias", f"{theirs}.bias", outputs)

    def encoder(self, network, scope, layers, hidden, intermediate):
        if hidden != self.embedding:
            self.dense(network, f"{scope}/embeddings_project", "electra.embeddings_project", self.embedding, hidden)
        for layer in range(layers):
            at, to = f"{scope}/encoder/layer_{layer}", f"electra.encoder.layer.{layer}"
            for part in ("query", "key", "value"):
                self.dense(network, f"{at}/attention/self/{part}", f"{to}.attention.self.{part}", hidden, hidden)
            self.dense(network, f"{at}/attention/output/dense", f"{to}.attention.output.dense", hidden, hidden)
            self.norm(network, f"{at}/attention/output", f"{to}.attention.output", hidden)
            self.dense(network, f"{at}/intermediate/dense", f"{to}.intermediate.dense", hidden, intermediate)
            self.dense(network, f"{at}/output/dense", f"{to}.output.dense", intermediate, hidden)
            self.norm(network, f"{at}/output", f"{to}.output", hidden)

    def stored(self, step):
        """The variables with Adam's slots and the step counter, as in a training checkpoint."""
        stored = dict(self.values)
        for name in list(self.values)[:4]:
            stored[f"{name}/adam_m"] = numpy.zeros_like(self.values[name])
            stored[f"{name}/adam_v"] = numpy.ones_like(self.values[name])
        stored["global_step"] = numpy.array(step, dtype=numpy.int64)
        return stored


def save(tf, prefix, stored):
    """Writes a checkpoint with TensorFlow."""
    names = sorted(stored)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(stored[name]) for name in names],
    )
