"""Small models: trained with NumPy, written as .tflite without TensorFlow, judged through the agent's own worker."""
